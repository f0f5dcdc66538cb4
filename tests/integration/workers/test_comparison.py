"""A retrained model is compared on corrected tracks that neither model was trained on, and not on others."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save
from sqlalchemy import delete, func, text, update
from sqlalchemy.orm import Session

from core.ml.models.artifact import ArtifactError
from core.ml.training.track_records import TRACKS_FILE, TrackRecords
from core.states import Verdict
from core.store.correction_changes import NewCorrection, write_corrections
from core.store.tables import Correction, CorrectionEntry, Model, Prediction, Review
from tests.support.builders import make_model, make_prediction
from workers import comparison
from workers.comparison import ADVICE, find_tracks, label_embedded, make_offer

TRACKS, TRAINED_ON, UNLABELLED, UNCORRECTED = 60, 10, 4, 5
LABELS = ("Jazz", "rock", "ambient", "new")


def digest(number: int) -> bytes:
    return bytes([number]) * 32


@pytest.fixture
def base(session: Session, tmp_path: Path) -> Model:
    """Says rock to every track; it was trained on the first ten, and not labelled the last four."""
    arrays: dict[str, np.ndarray] = {
        "contents": np.array([list(digest(number)) for number in range(TRAINED_ON + 1)], np.uint8),
        "groups": np.arange(TRAINED_ON + 1),
        "targets": np.zeros((TRAINED_ON + 1, 3), bool),
        "trained_on": np.arange(TRAINED_ON + 1) < TRAINED_ON,
        "scores": np.zeros((TRAINED_ON + 1, 3), np.float32),
        "tested": np.ones(TRAINED_ON + 1, bool),
        "decisions": np.zeros((TRAINED_ON + 1, 3), bool),
    }
    (tmp_path / TRACKS_FILE).write_bytes(save(arrays))
    model = make_model(session, artifact_url=tmp_path.as_uri(), thresholds=[0.5] * 3)
    for number in range(TRACKS - UNLABELLED):
        make_prediction(session, model, digest(number), scores=[0.9, 0.1, 0.1])
    say(session, range(UNCORRECTED, TRACKS), at_random=True)
    return model


def say(session: Session, numbers: Iterable[int], label: str = "jazz", *, at_random: bool) -> None:
    """Give a label to tracks that a review had picked."""
    digests = [digest(number) for number in numbers]
    until = func.clock_timestamp() + text("interval '1 min'")
    for content in digests:
        session.merge(Review(content_hash=content, reviewer="local", leased_until=until, at_random=at_random))
    session.flush()
    said = [NewCorrection(content, label, Verdict.YES) for content in digests]
    write_corrections(session, said, author="local", origin="track")


@pytest.fixture
def records() -> TrackRecords:
    """Every other track is jazz, the others rock, and all are decided rightly but two."""
    targets = np.zeros((TRACKS, 4), bool)
    targets[np.arange(TRACKS), np.arange(TRACKS) % 2] = True
    decisions = targets.copy()
    decisions[20:22] = ~decisions[20:22]
    return TrackRecords(
        contents=[digest(number) for number in range(TRACKS)],
        groups=list(range(TRACKS)),
        targets=targets,
        trained_on=np.ones(TRACKS, bool),
        scores=np.zeros((TRACKS, 4)),
        tested=np.ones(TRACKS, bool),
        decisions=decisions,
        learnt=np.ones(4, bool),
    )


def test_tracks_that_either_was_trained_on_or_nobody_corrected_are_left_out(session, base, records):
    found = find_tracks(session, "test-model@1", records)
    assert sorted(found.rows) == list(range(TRAINED_ON, TRACKS - UNLABELLED))
    assert (found.trained_on, found.not_labelled) == (TRAINED_ON - UNCORRECTED, UNLABELLED)
    offer = make_offer(found, LABELS, records)
    assert (offer["verdict"], offer["reason"]) == ("better", None)
    assert (offer["tracks"], offer["artists"], offer["labels"]) == (46, 46, 2)
    assert offer["f1_before"] == pytest.approx((0 + 2 / 3) / 2)
    assert offer["f1"] == pytest.approx(22 / 23)
    assert 0 < offer["low"] < offer["difference"] < offer["high"] <= 1
    untested = replace(records, tested=np.arange(TRACKS) < 30)
    assert find_tracks(session, "test-model@1", untested).not_labelled == 0
    assert len(find_tracks(session, "test-model@1", untested).rows) == 30 - TRAINED_ON


def test_a_worse_model_is_said_to_be_worse_and_an_equal_one_is_not_judged(session, base, records):
    found = find_tracks(session, "test-model@1", records)
    wrong = replace(records, decisions=np.zeros_like(records.targets))
    assert make_offer(found, LABELS, wrong)["verdict"] == "worse"
    same = replace(records, decisions=np.tile([False, True, False, False], (TRACKS, 1)))
    offer = make_offer(found, LABELS, same)
    assert (offer["verdict"], offer["difference"]) == ("undecided", 0)
    assert offer["reason"] == "The interval of the difference contains 0."


def test_what_cannot_be_told_is_said_with_the_reason(session, base, records, tmp_path):
    few = replace(records, tested=np.arange(TRACKS) < TRAINED_ON + 8)
    offer = make_offer(find_tracks(session, "test-model@1", few), LABELS, few)
    assert (offer["verdict"], offer["tracks"], offer["low"]) == ("undecided", 8, None)
    assert offer["difference"] is not None
    assert offer["reason"] == "The tracks are by 8 artists; at least 10 are needed."
    nothing = replace(records, tested=np.arange(TRACKS) < TRAINED_ON)
    offer = make_offer(find_tracks(session, "test-model@1", nothing), LABELS, nothing)
    assert offer["reason"] == "No corrected track is new to both models."
    assert (offer["tracks"], offer["trained_on"]) == (0, 5)
    other = make_offer(find_tracks(session, "test-model@1", records), ("w", "x", "y", "z"), records)
    assert other["reason"] == "The two models have no label in common."
    (tmp_path / TRACKS_FILE).write_bytes(b"damaged")
    offer = make_offer(find_tracks(session, "test-model@1", records), LABELS, records)
    assert (offer["verdict"], offer["tracks"]) == ("undecided", 0)
    assert offer["reason"] == "The record of the tracks that test-model@1 was trained on is damaged."
    (tmp_path / TRACKS_FILE).unlink()
    offer = make_offer(find_tracks(session, "test-model@1", records), LABELS, records)
    assert offer["reason"] == "It is not recorded which tracks test-model@1 was trained on."
    gone = make_offer(find_tracks(session, "gone@1", records), LABELS, records)
    assert (gone["verdict"], gone["reason"]) == ("undecided", "gone@1 has been deleted.")


def test_tracks_that_were_picked_because_the_old_model_was_unsure_or_wrong_give_no_verdict(
    session, base, records
):
    for table in (Correction, CorrectionEntry, Review):
        session.execute(delete(table))
    say(session, range(TRAINED_ON, 40), at_random=False)
    offer = make_offer(find_tracks(session, "test-model@1", records), LABELS, records)
    assert (offer["verdict"], offer["tracks"], offer["not_random"]) == ("undecided", 0, 40 - TRAINED_ON)
    assert offer["reason"].startswith("30 corrected tracks are left out, as they were picked because")
    assert offer["reason"].endswith(ADVICE)
    say(session, range(40, 45), at_random=True)
    say(session, range(TRAINED_ON, 40), "rock", at_random=True)  # they had been corrected before
    offer = make_offer(find_tracks(session, "test-model@1", records), LABELS, records)
    assert (offer["verdict"], offer["tracks"], offer["not_random"]) == ("undecided", 5, 40 - TRAINED_ON)
    assert offer["reason"].startswith("The tracks are by 5 artists; at least 10 are needed. 30 corrected")


def test_a_model_that_has_lost_labels_is_not_called_better(session, base, records):
    found = find_tracks(session, "test-model@1", records)
    offer = make_offer(found, ("Jazz", "rock", "new", "newer"), records)
    assert (offer["lost_labels"], offer["new_labels"]) == (["ambient"], ["new", "newer"])
    assert offer["low"] > 0
    assert (offer["verdict"], offer["reason"]) == (
        "undecided",
        "It is better on the labels that both have, but no longer gives ambient.",
    )


def test_labels_that_cannot_be_measured_are_named_and_not_compared(session, base, records):
    found = find_tracks(session, "test-model@1", records)
    unlearnt = replace(records, learnt=np.array([True, False, True, True]))
    offer = make_offer(found, LABELS, unlearnt)
    assert (offer["unmeasured_labels"], offer["labels"], offer["verdict"]) == (["rock"], 1, "better")
    nothing = make_offer(found, LABELS, replace(records, learnt=np.zeros(4, bool)))
    assert (nothing["verdict"], nothing["tracks"]) == ("undecided", 46)
    assert nothing["reason"] == "No label that both models have can be measured out of fold."


class Tagger:
    """Says rock to everything."""

    def relabel(self, vectors: np.ndarray) -> np.ndarray:
        return np.tile([0.9, 0.1, 0.1], (len(vectors), 1))


def test_tracks_that_a_head_has_not_labelled_are_labelled_from_their_embeddings(
    session, base, records, monkeypatch
):
    session.execute(delete(Prediction))
    found = find_tracks(session, "test-model@1", records)
    labelled = TRACKS - TRAINED_ON - UNLABELLED
    assert (len(found.rows), found.not_labelled) == (0, TRACKS - TRAINED_ON)
    assert "has no labels: label their library with it" in make_offer(found, LABELS, records)["reason"]
    session.execute(update(Model).values(kind="transfer"))
    monkeypatch.setattr(comparison, "get_tagger", lambda *_, **__: Tagger())
    found = find_tracks(session, "test-model@1", records)
    label_embedded(found)
    assert (len(found.rows), found.not_labelled) == (labelled, UNLABELLED)
    assert found.given == [{"rock"}] * labelled
    assert make_offer(found, LABELS, records)["verdict"] == "better"

    def damaged(*_: object, **__: object) -> Tagger:
        raise ArtifactError("model.safetensors is damaged")

    monkeypatch.setattr(comparison, "get_tagger", damaged)
    found = find_tracks(session, "test-model@1", records)
    label_embedded(found)
    assert (found.rows, found.not_labelled) == ([], TRACKS - TRAINED_ON)
