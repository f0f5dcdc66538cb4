"""Tuning of a model's thresholds: exactly one new version after any crash, and no run."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from safetensors.numpy import save
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.orm import Session

from core.config.models import FeatureConfig, MusicnnConfig
from core.config.params import ThresholdParams
from core.jobs.endings import finish_complete_jobs
from core.jobs.jobs import cancel_job
from core.jobs.kinds import SubmissionContext
from core.jobs.reaping import cancel_waiting
from core.jobs.submission import submit_job
from core.ml.models import artifact
from core.ml.models.artifact import ModelCard
from core.ml.models.zoo import build
from core.ml.training.records import README_FILE, VALIDATION_FILE, ValidationScores
from core.settings import Settings
from core.states import JobState
from core.store.predictions import NewPrediction, copy_predictions, save_predictions
from core.store.registry import list_models, register_artifact
from core.store.session import transaction
from core.store.tables import Job, Model, Prediction, Run
from tests.integration.workers.music import Music
from tests.support.planned import expire, make_due, read_job, read_unit, reap
from tests.support.worker import open_units, run
from workers import lease as lease_module
from workers import thresholds
from workers.install import install

FORMER = (0.95, 0.95, 0.5)  # no track gets the first two labels by them
LABELS = ("rock", "jazz", "folk")
TARGETS = [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]] * 5
SCORES = [[0.9, 0.2, 0.1], [0.8, 0.4, 0.2], [0.3, 0.6, 0.3], [0.1, 0.9, 0.4]] * 5


class Killed(BaseException):
    """Nothing catches it, as nothing catches a SIGKILL."""


@pytest.fixture
def learned(music: Music, process_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Music:
    """A library that knows a model `mine@1` which has left its validation scores."""
    monkeypatch.setattr(thresholds, "get_settings", lambda: process_settings)
    process_settings.models_dir.mkdir()
    config = MusicnnConfig(timbral_filters=2, temporal_filters=2, mid_channels=3, embedding_size=5)
    card = ModelCard(
        name="mine",
        version=1,
        embedding="mine",
        model=config,
        features=FeatureConfig(n_mels=24),
        labels=LABELS,
        thresholds=FORMER,
        metrics={"f1_macro": 0.8, "roc_auc_macro": 0.7},
        provenance={"bases_sha256": "b"},
    )
    held_out = {"targets": np.array(TARGETS, np.float64), "scores": np.array(SCORES, np.float64)}
    folder = process_settings.models_dir / "mine-1"
    model = build(config, card.features, len(LABELS))
    artifact.save(card, model, folder, {VALIDATION_FILE: save(held_out)})
    with transaction(music.sessions) as session:
        register_artifact(session, folder)
    return music


def submit(music: Music, **params: float) -> tuple[UUID, int]:
    with transaction(music.sessions) as session:
        job_id = submit_job(session, ThresholdParams(model="mine", **params), SubmissionContext("me")).job.id
    return job_id, open_units(music.sessions, job_id)[0].id


def answer(music: Music, job_id: UUID) -> dict[str, Any]:
    job = read_job(music.sessions, job_id)
    assert job.state == JobState.SUCCEEDED
    assert job.result is not None
    return job.result


def versions(music: Music) -> list[int]:
    with music.sessions() as session:
        assert session.scalars(select(Run)).all() == []
        return list(
            session.scalars(select(Model.version).where(Model.name == "mine").order_by(Model.version))
        )


def test_the_answer_names_the_labels_that_are_not_precise_enough(learned, process_settings):
    job_id, unit_id = submit(learned, min_precision=0.9)
    assert versions(learned) == [1]
    run(learned.sessions, unit_id, thresholds.tune_thresholds)
    result = answer(learned, job_id)
    assert result["model"] == "mine@2"
    assert (result["unreached"], result["unmeasured"]) == (["jazz", "folk"], ["folk"])
    rock, jazz, folk = result["labels"]
    assert (rock["kept"], rock["precision"]) == (None, 1.0)
    assert (jazz["threshold"], folk["threshold"]) == FORMER[1:]
    assert (folk["precision"], folk["recall"], folk["front"]) == (None, None, [])
    assert result["cross_fitted"] is True
    assert versions(learned) == [1, 2]
    card = artifact.load(process_settings.models_dir / "mine-2").card
    assert card.thresholds == pytest.approx([each["threshold"] for each in result["labels"]])
    assert card.metrics == {"roc_auc_macro": 0.7}
    text = (process_settings.models_dir / "mine-2" / README_FILE).read_text()
    assert f"- jazz keeps its threshold: {jazz['kept']}." in text
    assert "| folk | 0.500 | 0.500 | 0 | - | - | - |" in text


def test_without_a_gain_no_version_is_registered_that_the_name_would_mean(learned, process_settings):
    folder = process_settings.models_dir / "mine-1"
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(card | {"thresholds": [0.5, 0.5, 0.5]}))
    job_id, unit_id = submit(learned, min_precision=0.9)
    run(learned.sessions, unit_id, thresholds.tune_thresholds)
    result = answer(learned, job_id)
    assert (result["model"], result["verdict"]) == (None, "unchanged")
    assert [each["threshold"] for each in result["labels"]] == [0.5, 0.5, 0.5]
    assert result["labels"][0]["kept"].startswith("it has a precision of 1.000 already")
    assert versions(learned) == [1]


@pytest.mark.parametrize("force", [False, True])
def test_a_gain_that_may_be_chance_is_registered_only_where_that_is_forced(
    learned, process_settings, monkeypatch, force
):
    few = ValidationScores(
        np.array(SCORES[:4]), np.array(TARGETS[:4]), np.arange(4), np.ones((4, len(LABELS)), bool)
    )
    monkeypatch.setattr(thresholds, "read_validation", lambda _: few)
    job_id, unit_id = submit(learned, force=force)
    run(learned.sessions, unit_id, thresholds.tune_thresholds)
    result = answer(learned, job_id)
    assert (result["verdict"], result["model"]) == ("undecided", "mine@2" if force else None)
    assert 0.05 < result["chance"] < 1
    assert versions(learned) == ([1, 2] if force else [1])
    if force:
        card = (process_settings.models_dir / "mine-2" / README_FILE).read_text()
        assert "The gain may be chance" in card


@pytest.mark.parametrize("place", ["install", "register_artifact", "_relabel"])
def test_a_kill_before_or_after_the_registration_leaves_one_version(learned, monkeypatch, place):
    known = getattr(thresholds, place)

    def die(*arguments: object) -> None:
        known(*arguments)
        raise Killed

    job_id, unit_id = submit(learned)
    with monkeypatch.context() as patch:
        patch.setattr(thresholds, place, die)
        with pytest.raises(Killed):
            run(learned.sessions, unit_id, thresholds.tune_thresholds)
    expire(learned.sessions, unit_id)
    reap(learned.sessions)
    make_due(learned.sessions, unit_id)
    run(learned.sessions, unit_id, thresholds.tune_thresholds)
    assert read_job(learned.sessions, job_id).state == JobState.SUCCEEDED
    assert versions(learned) == [1, 2]


def add_predictions(music: Music, count: int) -> None:
    with transaction(music.sessions) as session:
        (model,) = list_models(session, "mine")
        rows = [
            NewPrediction(number.to_bytes(32, "big"), "full", 1.0, [0.7, 0.2, 0.1]) for number in range(count)
        ]
        save_predictions(session, model, rows)


def labelled(music: Music, version: int) -> int:
    query = select(func.count()).select_from(Prediction).join(Model, Model.id == Prediction.model_id)
    with music.sessions() as session:
        return session.scalars(query.where(Model.name == "mine", Model.version == version)).one()


def test_a_unit_that_has_had_its_time_goes_on_where_it_stopped(learned, monkeypatch):
    """As with more results than can be labelled in one run of the unit."""
    pages: list[bytes] = []

    def copy_ten(session: Session, source: Model, target: Model, after: bytes) -> bytes | None:
        pages.append(after)
        return copy_predictions(session, source, target, after, limit=10)

    monkeypatch.setattr(thresholds, "copy_predictions", copy_ten)
    monkeypatch.setattr(thresholds, "TARGET_S", 0.0)
    add_predictions(learned, 25)
    job_id, unit_id = submit(learned)
    for so_far in (10, 20, 25):
        make_due(learned.sessions, unit_id)
        run(learned.sessions, unit_id, thresholds.tune_thresholds)
        assert labelled(learned, 2) == so_far
    assert pages == [b"", (9).to_bytes(32, "big"), (19).to_bytes(32, "big")]
    assert read_job(learned.sessions, job_id).state == JobState.SUCCEEDED
    assert read_unit(learned.sessions, unit_id).attempt == 1  # to be handed back is no failed attempt
    assert versions(learned) == [1, 2]


def test_a_cancel_while_results_are_labelled_is_obeyed(learned, monkeypatch):
    monkeypatch.setattr(thresholds, "TARGET_S", 0.0)
    monkeypatch.setattr(thresholds, "copy_predictions", partial(copy_predictions, limit=10))
    add_predictions(learned, 25)
    job_id, unit_id = submit(learned)
    run(learned.sessions, unit_id, thresholds.tune_thresholds)
    with transaction(learned.sessions) as session:
        cancel_job(session, job_id)
        cancel_waiting(session)
        finish_complete_jobs(session)
    assert read_job(learned.sessions, job_id).state == JobState.CANCELLED


def test_no_transaction_is_open_while_files_are_written(learned, monkeypatch):
    open_transactions: list[int] = []
    busy = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND xact_start IS NOT NULL AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )

    def watched(work: Callable[..., Any]) -> Callable[..., Any]:
        def watch(*arguments: Any) -> Any:
            with learned.sessions() as session:
                open_transactions.append(session.scalars(busy).one())
            return work(*arguments)

        return watch

    monkeypatch.setattr(thresholds, "install", watched(install))
    monkeypatch.setattr(artifact, "save", watched(artifact.save))
    monkeypatch.setattr(lease_module, "POLL_EVERY_S", 60.0)
    job_id, unit_id = submit(learned)
    run(learned.sessions, unit_id, thresholds.tune_thresholds)
    assert answer(learned, job_id)["model"] == "mine@2"
    assert open_transactions == [0, 0]


def test_a_version_is_not_given_again_when_its_model_is_deleted(learned):
    job_id, unit_id = submit(learned)
    run(learned.sessions, unit_id, thresholds.tune_thresholds)
    with transaction(learned.sessions) as session:
        session.execute(update(Job).values(model_id=None))
        session.execute(delete(Model).where(Model.name == "mine", Model.version == 2))
    job_id, unit_id = submit(learned)
    run(learned.sessions, unit_id, thresholds.tune_thresholds)
    assert answer(learned, job_id)["model"] == "mine@3"


def test_a_cancelled_one_leaves_nothing(learned, process_settings):
    job_id, _ = submit(learned, beta=2)
    with transaction(learned.sessions) as session:
        cancel_job(session, job_id)
        cancel_waiting(session)
        finish_complete_jobs(session)
    assert read_job(learned.sessions, job_id).state == JobState.CANCELLED
    assert versions(learned) == [1]
    again, unit_id = submit(learned, beta=2)
    run(learned.sessions, unit_id, thresholds.tune_thresholds)
    assert answer(learned, again)["model"] == "mine@2"
    assert [path.name for path in Path(process_settings.training_dir).iterdir()] == []
