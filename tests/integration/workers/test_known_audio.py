"""Trainings take from the database what an analysis has stored, and open no file for it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import select, update

from core.config.params import TrainingParams, TuningParams
from core.jobs.kinds import SubmissionContext
from core.jobs.submission import submit_job
from core.settings import Settings
from core.states import JobState
from core.store.embeddings import NewEmbedding, save_embeddings
from core.store.registry import register_artifact
from core.store.session import transaction
from core.store.tables import Embedding, Library, Run, Track, Trial
from core.store.tracks import SeenFile, upsert_tracks
from tests.integration.workers.music import Music
from tests.support.planned import read_job
from tests.support.tiny_model import EMBEDDING_SIZE, write_tiny
from tests.support.worker import work_off
from workers import preparation, training, tuning

GENRES = ("rock", "jazz", "folk", "polka")
EXPERIMENT: dict[str, Any] = {
    "experiment_name": "mine",
    "dataset": {"kind": "library", "library": "music", "labels_from": "folder"},
    "model": {"kind": "transfer", "backbone": "tiny-1"},
    "training": {"epochs": 2, "lr": 0.01},
    "evaluation": {"bootstrap": 0},
}


def remember(music: "Trained", tracks: int) -> None:
    """Store `tracks` rows with embeddings by the weights of `tiny-1`, without any file."""
    dice = np.random.default_rng(0)
    with transaction(music.sessions) as session:
        library = session.scalars(select(Library)).one()
        encoder_id = register_artifact(session, write_tiny(music.models_dir)).encoder_id
        files = [SeenFile(f"{GENRES[n % 4]}/{n}.mp3", 1, 1) for n in range(tracks)]
        embeddings = []
        for number, track in enumerate(upsert_tracks(session, library.id, files)):
            track.content_hash = track.path.encode().ljust(32, b"\0")
            track.tags = {"artist": f"artist {number // 8}"}
            vector = dice.normal(size=EMBEDDING_SIZE) + 3 * np.eye(EMBEDDING_SIZE)[number % 4]
            embeddings.append(NewEmbedding(track.content_hash, "full", 200.0, vector.astype(np.float32)))
        save_embeddings(session, encoder_id, embeddings)


class Trained(Music):
    """A library of known tracks whose folder is gone."""

    models_dir: Path
    settings: Settings

    def train(self, **changes: Any) -> UUID:
        return self._work_off(TrainingParams(experiment=EXPERIMENT | changes))

    def tune(self) -> UUID:
        study = {
            "study_name": "mine",
            "experiment": EXPERIMENT | {"model": EXPERIMENT["model"] | {"head": "linear"}},
            "space": {"training.lr": {"kind": "categorical", "choices": [0.01, 0.02]}},
            "n_trials": 2,
        }
        return self._work_off(TuningParams(study=study))

    def _work_off(self, params: TrainingParams | TuningParams) -> UUID:
        with transaction(self.sessions) as session:
            context = SubmissionContext("me", data_dir=self.settings.data_dir)
            job_id = submit_job(session, params, context).job.id
        work_off(self.sessions, job_id)
        return job_id


@pytest.fixture
def known(music: Music, process_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Trained:
    for module in (preparation, training, tuning):
        monkeypatch.setattr(module, "get_settings", lambda: process_settings)
    found = Trained(music.root, music.sessions)
    found.models_dir, found.settings = process_settings.models_dir, process_settings
    return found


def never(*_: object, **__: object) -> Iterator[None]:
    raise AssertionError("audio was opened")


def test_a_head_on_known_tracks_needs_no_file(known, monkeypatch):
    remember(known, 1000)
    shutil.rmtree(known.root)
    monkeypatch.setattr("core.ml.training.embedding_cache.open_audio", never)
    job_id = known.train()
    assert read_job(known.sessions, job_id).state == JobState.SUCCEEDED
    with known.sessions() as session:
        run = session.get_one(Run, job_id)
        assert run.results is not None
        assert run.results["tracks"]["all"] == 1000
        assert run.results["dropped"] == {}
        assert run.metrics["f1_macro"] > 0.8
    assert not (known.settings.cache_dir / "files").exists()


def test_so_do_the_trials_of_a_study(known, monkeypatch):
    remember(known, 80)
    shutil.rmtree(known.root)
    study_id = known.tune()
    assert read_job(known.sessions, study_id).state == JobState.SUCCEEDED
    with known.sessions() as session:
        assert set(session.scalars(select(Trial.state))) == {"complete"}


@pytest.mark.parametrize(
    "change",
    [
        update(Embedding).values(coverage="windows:3"),
        update(Track).values(content_hash=None),
    ],
)
def test_what_is_not_known_of_the_whole_track_must_be_heard(known, change):
    remember(known, 80)
    with transaction(known.sessions) as session:
        session.execute(change)
    shutil.rmtree(known.root)
    job = read_job(known.sessions, known.train())
    assert (job.state, job.error_code) == (JobState.FAILED, "unusable_dataset")
    assert "None of the 80 tracks" in str(job.error_detail)
