"""Choosing a model's thresholds anew: one new version whatever happens, and no run."""

from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from safetensors.numpy import save
from sqlalchemy import select

from core.config import FeatureConfig, MusicnnConfig
from core.db.session import transaction
from core.db.tables import Model, Run
from core.models import artifact
from core.models.artifact import ModelCard
from core.models.zoo import build
from core.params import ThresholdParams
from core.services.jobs import cancel_job, finish_complete_jobs
from core.services.registry import register_artifact
from core.services.thresholds import submit_thresholds
from core.services.units import cancel_waiting
from core.settings import Settings
from core.states import JobState
from core.training.records import VALIDATION_FILE
from tests.integration.workers.music import Music
from tests.planned import expire, make_due, read_job, reap
from tests.worker import open_units, run
from workers import thresholds

LABELS = ("rock", "jazz", "folk")
TARGETS = [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]]
SCORES = [[0.9, 0.2, 0.1], [0.8, 0.4, 0.2], [0.3, 0.6, 0.3], [0.1, 0.9, 0.4]]


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
        thresholds=(0.5, 0.5, 0.5),
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
        job_id = submit_thresholds(session, ThresholdParams(model="mine", **params), "me").job.id
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
    assert result["unreached"] == ["jazz", "folk"]
    assert versions(learned) == [1, 2]
    card = artifact.load(process_settings.models_dir / "mine-2").card
    assert card.thresholds == pytest.approx([each["threshold"] for each in result["labels"]])
    assert card.metrics == {"roc_auc_macro": 0.7}


@pytest.mark.parametrize("place", ["register_artifact", "_relabel"])
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
