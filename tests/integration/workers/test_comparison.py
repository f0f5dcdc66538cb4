"""A retrained model is compared on corrected tracks that neither model has learnt from, and not on others."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save
from sqlalchemy.orm import Session

from core.ml.training.track_records import TRACKS_FILE, TrackRecords
from core.states import Verdict
from core.store.corrections import NewCorrection, write_corrections
from core.store.tables import Model
from tests.support.builders import make_model, make_prediction
from workers.comparison import find_tracks, make_offer

TRACKS, LEARNT, UNLABELLED, UNCORRECTED = 60, 10, 4, 5
LABELS = ("Jazz", "rock", "new")


def digest(number: int) -> bytes:
    return bytes([number]) * 32


@pytest.fixture
def base(session: Session, tmp_path: Path) -> Model:
    """Says rock to every track; it has learnt from the first ten, and not labelled the last four."""
    arrays: dict[str, np.ndarray] = {
        "contents": np.array([list(digest(number)) for number in range(LEARNT + 1)], np.uint8),
        "groups": np.arange(LEARNT + 1),
        "targets": np.zeros((LEARNT + 1, 3), bool),
        "learnt": np.arange(LEARNT + 1) < LEARNT,
        "scores": np.zeros((LEARNT + 1, 3), np.float32),
        "tested": np.ones(LEARNT + 1, bool),
        "decisions": np.zeros((LEARNT + 1, 3), bool),
    }
    (tmp_path / TRACKS_FILE).write_bytes(save(arrays))
    model = make_model(session, artifact_url=tmp_path.as_uri(), thresholds=[0.5] * 3)
    for number in range(TRACKS - UNLABELLED):
        make_prediction(session, model, digest(number), scores=[0.9, 0.1, 0.1])
    said = [NewCorrection(digest(n), "jazz", Verdict.YES) for n in range(UNCORRECTED, TRACKS)]
    write_corrections(session, said, author="local", origin="track")
    return model


@pytest.fixture
def records() -> TrackRecords:
    """Every other track is jazz, the others rock, and all are decided rightly but two."""
    targets = np.zeros((TRACKS, 3), bool)
    targets[np.arange(TRACKS), np.arange(TRACKS) % 2] = True
    decisions = targets.copy()
    decisions[20:22] = ~decisions[20:22]
    return TrackRecords(
        contents=[digest(number) for number in range(TRACKS)],
        groups=list(range(TRACKS)),
        targets=targets,
        learnt=np.ones(TRACKS, bool),
        scores=np.zeros((TRACKS, 3)),
        tested=np.ones(TRACKS, bool),
        decisions=decisions,
    )


def test_tracks_that_either_has_learnt_from_or_nobody_corrected_are_left_out(session, base, records):
    found = find_tracks(session, "test-model@1", records)
    assert sorted(found.rows) == list(range(LEARNT, TRACKS - UNLABELLED))
    assert (found.learnt, found.not_labelled) == (LEARNT - UNCORRECTED, UNLABELLED)
    offer = make_offer(found, LABELS, records)
    assert (offer["verdict"], offer["reason"]) == ("better", None)
    assert (offer["tracks"], offer["artists"], offer["labels"]) == (46, 46, 2)
    assert offer["f1_before"] == pytest.approx((0 + 2 / 3) / 2)
    assert offer["f1"] == pytest.approx(22 / 23)
    assert 0 < offer["low"] < offer["difference"] < offer["high"] <= 1
    untested = replace(records, tested=np.arange(TRACKS) < 30)
    assert find_tracks(session, "test-model@1", untested).not_labelled == 0
    assert len(find_tracks(session, "test-model@1", untested).rows) == 30 - LEARNT


def test_a_worse_model_is_said_to_be_worse_and_an_equal_one_is_not_judged(session, base, records):
    found = find_tracks(session, "test-model@1", records)
    wrong = replace(records, decisions=np.zeros_like(records.targets))
    assert make_offer(found, LABELS, wrong)["verdict"] == "worse"
    same = replace(records, decisions=np.tile([False, True, False], (TRACKS, 1)))
    offer = make_offer(found, LABELS, same)
    assert (offer["verdict"], offer["difference"]) == ("undecided", 0)
    assert offer["reason"] == "The interval of the difference contains 0."


def test_what_cannot_be_told_is_said_with_the_reason(session, base, records, tmp_path):
    few = replace(records, tested=np.arange(TRACKS) < LEARNT + 8)
    offer = make_offer(find_tracks(session, "test-model@1", few), LABELS, few)
    assert (offer["verdict"], offer["tracks"], offer["low"]) == ("undecided", 8, None)
    assert offer["difference"] is not None
    assert offer["reason"] == "The tracks are by 8 artists; at least 10 are needed."
    nothing = replace(records, tested=np.arange(TRACKS) < LEARNT)
    offer = make_offer(find_tracks(session, "test-model@1", nothing), LABELS, nothing)
    assert offer["reason"].startswith("No corrected track is new to both models")
    assert (offer["tracks"], offer["learnt"]) == (0, 5)
    other = make_offer(find_tracks(session, "test-model@1", records), ("x", "y", "z"), records)
    assert other["verdict"] == "undecided"
    (tmp_path / TRACKS_FILE).unlink()
    offer = make_offer(find_tracks(session, "test-model@1", records), LABELS, records)
    assert offer["reason"] == "It is not recorded which tracks test-model@1 has learnt from."
    gone = make_offer(find_tracks(session, "gone@1", records), LABELS, records)
    assert (gone["verdict"], gone["reason"]) == ("undecided", "gone@1 has been deleted.")
