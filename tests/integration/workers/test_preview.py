"""A preview says what a promotion would change, from what is stored, and survives a kill."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import torch
from sqlalchemy import delete, func

from api.schemas import PreviewOutcome
from core.config.models import FeatureConfig, MusicnnConfig, TransferConfig
from core.config.params import PreviewParams
from core.errors import Invalid, LibraryNotFound, ModelInUse, ModelNotFound
from core.jobs.kinds import SubmissionContext
from core.jobs.submission import submit_job
from core.ml.models import artifact
from core.ml.models.artifact import ModelCard
from core.ml.models.transfer import Transfer
from core.ml.models.zoo import build
from core.services import preview as preview_jobs
from core.services.changes import delete_model
from core.states import JobState, Verdict
from core.store.correction_changes import NewCorrection, write_corrections
from core.store.embeddings import NewEmbedding, save_embeddings
from core.store.registry import promote_model, register_artifact, resolve_model
from core.store.session import SessionFactory, transaction
from core.store.tables import Embedding, Review
from core.store.training_tracks import save_training_tracks
from tests.support.builders import make_library, make_model, make_prediction, make_run, make_track
from tests.support.planned import expire, make_due, read_job, read_unit, reap
from tests.support.worker import open_units, run, work_off
from workers import preview

NETWORK = MusicnnConfig(timbral_filters=2, temporal_filters=2, mid_channels=3, embedding_size=2)
LABELS = ("rock", "jazz")
ME = SubmissionContext("me")


def write_head(models_dir: Path, version: int, turn: float, dataset: dict[str, Any]) -> Path:
    """A head whose labels are the directions of its embeddings, turned a little."""
    config = TransferConfig(backbone="base-1", network=NETWORK, single_label=False)
    features = FeatureConfig(n_mels=24)
    card = ModelCard(
        name="mine",
        version=version,
        embedding="base",
        model=config,
        features=features,
        labels=LABELS,
        thresholds=(0.5, 0.5),
        provenance={"bases_sha256": "b", "config": json.dumps({"dataset": dataset})},
    )
    model = build(config, features, len(LABELS))
    assert isinstance(model, Transfer)
    model.head.set_regression(torch.tensor([[4.0, turn], [turn, 4.0]]), torch.zeros(2))
    artifact.save(card, model, models_dir / f"mine-{version}")
    return models_dir / f"mine-{version}"


@pytest.fixture
def sessions(clean_database: SessionFactory, tmp_path: Path) -> SessionFactory:
    """`mine@1` serves, `mine@2` might; a library of five tracks, of which they can label three."""
    with transaction(clean_database) as session:
        first = register_artifact(session, write_head(tmp_path, 1, 0.0, {"kind": "library"}))
        register_artifact(session, write_head(tmp_path, 2, -6.0, {"kind": "corrections"}))
        promote_model(session, "mine", 1)
        home, other = (make_library(session, name=name) for name in ("home", "other"))
        vectors = {b"a": [1.0, 0.5], b"b": [1.0, 1.4], b"c": [2.0, -1.0]}
        for digest, vector in vectors.items():
            coverage = "windows:2" if digest == b"c" else "full"
            save_embeddings(session, first.encoder_id, [NewEmbedding(digest, coverage, 9.0, vector)])
            make_track(session, home, path=digest.decode(), content_hash=digest)
        make_track(session, home, path="unheard", content_hash=b"u")
        make_track(session, home, path="unread")
        make_track(session, home, path="gone", content_hash=b"a", missing_at=home.created_at)
        make_track(session, other, path="elsewhere", content_hash=b"b")
    return clean_database


def submit(sessions: SessionFactory, **params: Any) -> UUID:
    with transaction(sessions) as session:
        return submit_job(session, PreviewParams(**{"model": "mine"} | params), ME).job.id


def result_of(sessions: SessionFactory, job_id: UUID) -> PreviewOutcome:
    work_off(sessions, job_id)
    job = read_job(sessions, job_id)
    assert job.state == JobState.SUCCEEDED, job.error_detail
    return PreviewOutcome.model_validate(job.result)


def correct(sessions: SessionFactory, digest: bytes, **verdicts: Verdict) -> None:
    said = [NewCorrection(digest, label, verdict) for label, verdict in verdicts.items()]
    with transaction(sessions) as session:
        write_corrections(session, said, author="me", origin="track")


def test_labels_that_could_not_be_measured_are_named_first(sessions):
    with transaction(sessions) as session:
        model = resolve_model(session, "mine@2")
        reasons = {"rock": "its 2 tracks are of one artist or album", "polka": "it has one track"}
        make_run(session, model_id=model.id, results={"unmeasured": reasons})
    found = result_of(sessions, submit(sessions, library="home"))
    assert found.warnings[0] == (
        f"How well mine@2 gives rock is not known: {reasons['rock']}. Tracks that would have it: 2."
    )
    assert {each.label: each.unmeasured for each in found.labels} == {"rock": reasons["rock"], "jazz": None}
    assert "polka" not in " ".join(found.warnings)


def test_what_would_change_is_told_and_what_cannot_be_told_is_counted(sessions):
    """Logits of `mine@1`: 4x and 4y of the embedding (x, y); of `mine@2`: 4x - 6y and 4y - 6x."""
    found = result_of(sessions, submit(sessions, library="home"))
    assert (found.model, found.against, found.library) == ("mine@2", "mine@1", "home")
    assert (found.tracks, found.compared, found.unchanged, found.of_windows) == (5, 3, 1, 1)
    assert found.left_out == {"not_analysed": 1, "unknown_to_both": 1}
    changes = {each.label: (each.gained, each.lost, each.kept) for each in found.labels}
    assert changes == {"rock": (0, 1, 2), "jazz": (0, 2, 0)}
    assert found.agreement == pytest.approx(1 / 3, abs=1e-6)
    of_b = found.changes[0]
    assert of_b.path == "b"
    assert (of_b.label, of_b.given.model, of_b.given.against) == ("rock", False, True)
    assert of_b.scores.model == pytest.approx(1 / (1 + np.exp(-(4.0 - 6 * 1.4))), abs=1e-5)
    assert of_b.scores.against == pytest.approx(1 / (1 + np.exp(-4.0)), abs=1e-5)
    told = " ".join(found.warnings)
    for words in ("not been read yet: 1", "backbone of mine@2 is stored: 1", "some windows only"):
        assert words in told
    assert found.corrections.tracks == 0
    everywhere = result_of(sessions, submit(sessions))
    assert (everywhere.library, everywhere.tracks, everywhere.compared) == (None, 6, 4)


def test_corrections_stand_and_evaluate_both_models(sessions):
    correct(sessions, b"b", rock=Verdict.YES, jazz=Verdict.NO)
    found = result_of(sessions, submit(sessions))
    changes = {each.label: (each.gained, each.lost, each.kept) for each in found.labels}
    assert changes == {"rock": (0, 0, 4), "jazz": (0, 1, 0)}
    evaluated = found.corrections
    assert (found.corrected, evaluated.tracks, evaluated.macro_labels) == (2, 1, 1)
    assert (evaluated.macro.model.f1, evaluated.macro.against.f1) == (0.0, 1.0)
    assert (evaluated.macro.model.precision, evaluated.macro.model.recall) == (0.0, 0.0)
    jazz = next(each for each in evaluated.labels if each.label == "jazz")
    assert jazz.against is not None
    assert (jazz.yes, jazz.no, jazz.against.precision, jazz.against.f1) == (0, 1, 0.0, None)
    assert (evaluated.trained_on_corrections.model, evaluated.trained_on_corrections.against) == (True, False)
    assert "mine@2 was trained on corrections" in " ".join(found.warnings)
    assert "so their precision says nothing: rock." in " ".join(found.warnings)


def test_tracks_that_were_not_picked_at_random_are_told_apart(sessions):
    correct(sessions, b"b", rock=Verdict.YES, jazz=Verdict.NO)
    correct(sessions, b"a", rock=Verdict.YES, jazz=Verdict.NO)
    with transaction(sessions) as session:
        now = func.now()
        review = Review(content_hash=b"a", reviewer="me", leased_until=now, at_random=True, sampled_at=now)
        session.add(review)
    found = result_of(sessions, submit(sessions))
    evaluated, at_random = found.corrections, found.corrections.at_random
    assert at_random is not None
    assert (evaluated.tracks, at_random.tracks, at_random.macro_labels) == (2, 1, 1)
    assert (evaluated.macro.model.recall, at_random.macro.model.recall) == (0.5, 1.0)
    told = "1 of 2 evaluated tracks were not picked at random: the older model looks worse than it is"
    assert told in " ".join(found.warnings)


def test_nothing_is_said_of_measures_that_there_are_not(sessions):
    correct(sessions, b"b", rock=Verdict.NO)
    found = result_of(sessions, submit(sessions))
    assert (found.corrections.tracks, found.corrections.macro_labels) == (1, 0)
    assert not any("evaluated tracks" in warning for warning in found.warnings)


def test_the_means_of_both_models_are_of_the_same_labels(sessions):
    """`mine@2` gives rock to `c` only, so it has no precision for it elsewhere; `mine@1` has."""
    correct(sessions, b"b", rock=Verdict.YES, jazz=Verdict.YES)
    correct(sessions, b"a", rock=Verdict.NO, jazz=Verdict.YES)
    evaluated = result_of(sessions, submit(sessions)).corrections
    rock, jazz = sorted(evaluated.labels, key=lambda each: each.label, reverse=True)
    assert rock.model is not None
    assert jazz.model is not None
    assert (rock.model.precision, jazz.model.precision) == (0.0, None)
    assert evaluated.macro_labels == 2
    assert evaluated.macro.model.precision == 0.0
    assert evaluated.macro.against.precision == pytest.approx((0.5 + 1.0) / 2)


def test_what_a_model_was_trained_on_does_not_evaluate_it(sessions):
    """Of `b` there are scores of a fold, of `a` there are none; both are those of another version."""
    for digest in (b"a", b"b", b"c"):
        correct(sessions, digest, rock=Verdict.YES, jazz=Verdict.NO)
    with transaction(sessions) as session:
        new = resolve_model(session, "mine@2")
        tuned = make_model(session, alias=None, name="tuned", sha256=new.sha256)
        save_training_tracks(session, tuned, {b"a": None, b"b": [0.9, 0.1]})
    found = result_of(sessions, submit(sessions, library="home"))
    evaluated = found.corrections
    assert (found.corrected, evaluated.tracks, evaluated.not_evaluated) == (3, 2, 1)
    assert (evaluated.out_of_fold.model, evaluated.out_of_fold.against) == (1, 0)
    assert (evaluated.macro.model.recall, evaluated.macro.against.recall) == (1.0, 1.0)
    told = " ".join(found.warnings)
    assert "no scores without that are stored: 1." in told
    assert "was trained on corrections" not in told


def test_that_it_cannot_be_told_what_a_model_was_trained_on_is_said(sessions, tmp_path):
    correct(sessions, b"a", rock=Verdict.YES)
    with transaction(sessions) as session:
        whole = make_model(session, alias=None, name="whole", artifact_url=(tmp_path / "gone").as_uri())
        make_prediction(session, whole, b"a", scores=[0.9, 0.2, 0.1])
    found = result_of(sessions, submit(sessions, model="whole"))
    assert (
        found.corrections.trained_on_corrections.model,
        found.corrections.trained_on_corrections.against,
    ) == (None, False)
    assert "It cannot be told whether whole@1 was trained on corrections" in " ".join(found.warnings)


def test_models_of_two_backbones_are_compared_where_both_know_the_audio(sessions):
    """A model that is no head has left its scores, and spells a label in its own way."""
    with transaction(sessions) as session:
        whole = make_model(session, alias=None, name="whole", labels=["Jazz", "folk"], thresholds=[0.5] * 2)
        make_prediction(session, whole, b"a", scores=[0.2, 0.9])
        make_prediction(session, whole, b"u", scores=[0.9, 0.9])
    found = result_of(sessions, submit(sessions, model="mine@1", against="whole", library="home"))
    assert (found.compared, found.left_out) == (
        1,
        {"not_analysed": 1, "unknown_to_model": 1, "unknown_to_against": 2},
    )
    changes = {each.label: (each.gained, each.lost, each.kept, each.of) for each in found.labels}
    both = ["model", "against"]
    assert changes == {
        "rock": (1, 0, 0, ["model"]),
        "jazz": (1, 0, 0, both),
        "folk": (0, 1, 0, ["against"]),
    }
    assert "whole@1 has not labelled them: 2" in " ".join(found.warnings)


def test_a_killed_preview_starts_again_and_ends_once(sessions, monkeypatch):
    class Killed(BaseException):
        """Nothing catches it, as nothing catches a SIGKILL."""

    monkeypatch.setattr(preview, "PAGE", 2)
    pages, compute = [0], preview.score

    def dies(*arguments: Any) -> Any:
        pages[0] += 1
        if pages[0] == 3:  # the first model on the second page
            raise Killed
        return compute(*arguments)

    monkeypatch.setattr(preview, "score", dies)
    job_id = submit(sessions, library="home")
    unit_id = open_units(sessions, job_id)[0].id
    with pytest.raises(Killed):
        run(sessions, unit_id)
    assert (read_unit(sessions, unit_id).done, read_job(sessions, job_id).result) == (2, None)
    expire(sessions, unit_id)
    reap(sessions)
    make_due(sessions, unit_id)
    found = result_of(sessions, job_id)
    assert (found.tracks, found.compared) == (5, 3)
    assert read_unit(sessions, unit_id).done == read_job(sessions, job_id).total == 5


def test_what_cannot_be_compared_is_refused_at_once(sessions):
    for params, error in (
        ({"model": "default"}, Invalid),
        ({"model": "nope"}, ModelNotFound),
        ({"against": "nope"}, ModelNotFound),
        ({"library": "nope"}, LibraryNotFound),
    ):
        with pytest.raises(error):
            submit(sessions, **params)


def test_both_models_are_kept_until_it_has_ended(sessions):
    with transaction(sessions) as session:
        make_model(session, alias=None, name="third")
    job_id = submit(sessions, model="mine@2", against="third")
    for name in ("mine@2", "third@1"):
        with pytest.raises(ModelInUse, match=str(job_id)), transaction(sessions) as session:
            delete_model(session, name)
    result_of(sessions, job_id)
    with transaction(sessions) as session:
        delete_model(session, "third@1")


@pytest.mark.parametrize(("most", "queue"), [(6, "interactive"), (5, "batch")])
def test_no_upload_waits_for_a_preview_of_many_tracks(sessions, monkeypatch, most, queue):
    monkeypatch.setattr(preview_jobs, "MOST_AT_ONCE", most)
    job_id = submit(sessions)
    assert [unit.queue for unit in open_units(sessions, job_id)] == [queue]
    assert result_of(sessions, job_id).compared == 4


def test_without_stored_embeddings_nothing_is_compared_and_that_is_said(sessions):
    with transaction(sessions) as session:
        session.execute(delete(Embedding))
    found = result_of(sessions, submit(sessions, library="home"))
    assert (found.compared, found.agreement, found.left_out["unknown_to_both"]) == (0, None, 4)
