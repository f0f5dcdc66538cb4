"""The body of a training: ends once, hands itself back when it must stop, learns from libraries."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from safetensors.numpy import save
from sqlalchemy import select

from core.config.params import TrainingParams
from core.errors import NothingToRetry
from core.jobs.endings import finish_complete_jobs
from core.jobs.jobs import cancel_job
from core.jobs.kinds import SubmissionContext
from core.jobs.progress import get_progress
from core.jobs.reaping import cancel_waiting
from core.jobs.submission import retry_job, submit_job
from core.jobs.workers import record_heartbeat
from core.ml.datasets.examples import Dataset
from core.ml.models.artifact import StoredCard
from core.ml.training.context import TrainingStopped
from core.ml.training.reports import EpochReport, TrainingResult
from core.settings import Settings
from core.states import Activity, JobState, UnitState, Verdict
from core.store.correction_changes import NewCorrection, write_corrections
from core.store.label_sets import SetLabel, create_label_set, delete_label_set
from core.store.session import transaction
from core.store.tables import Epoch, Job, Model, Run, Track, TrainingTrack
from tests.integration.workers.music import Music
from tests.support.planned import expire, make_due, read_job, read_unit, reap, skip_preparation
from tests.support.worker import WORKER, open_units, run, until
from workers import lease as lease_module
from workers import training

EXPERIMENT: dict[str, Any] = {
    "experiment_name": "mine",
    "dataset": {"kind": "library", "library": "music", "labels_from": "folder"},
    "model": {"kind": "audio_cnn", "embedding_size": 4},
    "training": {"epochs": 5},
}
EPOCH: dict[str, Any] = {
    "epochs": 5,
    "fold": None,
    "folds": None,
    "train_loss": float("nan"),
    "validation_loss": None,
    "validation": {},
    "learning_rate": 0.1,
    "steps": 1,
    "duration_s": 0.1,
    "data_wait_s": 0.0,
    "validation_s": 0.0,
    "is_best": False,
}


class Trainer:
    """Stands in for `train`: reports epochs and leaves a folder, without a model in it."""

    def __init__(self) -> None:
        self.datasets: list[Dataset] = []
        self.before_epoch: Callable[[int], Any] = lambda _: None
        self.folders: list[Path] = []
        self.records: dict[str, bytes] = {}  # files beside the model
        self.should_stop: Callable[[], bool] = lambda: False

    def __call__(
        self, config, dataset, on_epoch, *, folder, version, should_stop, **_: Any
    ) -> TrainingResult:
        self.datasets.append(dataset)
        self.folders.append(folder)
        self.should_stop = should_stop
        history = []
        for number in range(1, 4):
            self.before_epoch(number)
            if should_stop():
                raise TrainingStopped
            history.append(EpochReport.from_dict(EPOCH | {"epoch": number}))
            on_epoch(history[-1])
        card = StoredCard(
            name=config.experiment_name,
            version=version,
            embedding="mine",
            model=config.model,
            features=config.features,
            labels=("rock", "jazz"),
            thresholds=(0.5, 0.5),
            metrics={"f1_macro": 0.8, "duration_s": 1.5},
            provenance={"config": config.model_dump_json(), "dataset_sha256": "d", "code_version": "c"},
            weights_sha256="0" * 64,
        )
        folder.mkdir(parents=True)
        (folder / "model.json").write_text(card.model_dump_json())
        for name, content in self.records.items():
            (folder / name).write_bytes(content)
        results = {"evaluated_on": "test", "intervals": {}, "co_occurrence": [[1]]}
        return TrainingResult(folder, card.labels, results, card.metrics, tuple(history))


@pytest.fixture
def trainer(process_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Trainer:
    stand_in = Trainer()
    process_settings.models_dir.mkdir()
    monkeypatch.setattr(training, "get_settings", lambda: process_settings)
    monkeypatch.setattr(training, "train", stand_in)
    monkeypatch.setattr(training, "WRITE_EVERY_S", 0.0)
    monkeypatch.setattr(lease_module, "POLL_EVERY_S", 0.02)
    return stand_in


@pytest.fixture
def submit(music: Music, process_settings: Settings):
    def call(**dataset: Any) -> UUID:
        experiment = EXPERIMENT | {"dataset": EXPERIMENT["dataset"] | dataset}
        params = TrainingParams(experiment=experiment)
        with transaction(music.sessions) as session:
            context = SubmissionContext("me", data_dir=process_settings.data_dir)
            return submit_job(session, params, context).job.id

    return call


def unit_of(music: Music, job_id: UUID) -> int:
    skip_preparation(music.sessions, job_id)
    (unit,) = open_units(music.sessions, job_id)
    return unit.id


def epochs_of(music: Music, job_id: UUID) -> list[Epoch]:
    with music.sessions() as session:
        return list(session.scalars(select(Epoch).where(Epoch.run_id == job_id).order_by(Epoch.epoch)))


@pytest.fixture
def listed(music: Music, tagger: object) -> Music:
    """A library whose tracks are known."""
    music.add("rock/a.mp3", "jazz/b.mp3")
    music.label()
    return music


def test_a_training_ends_as_a_registered_model_with_its_run(listed, trainer, submit, process_settings):
    job_id = submit()
    run(listed.sessions, unit_of(listed, job_id), training.train_model)
    job = read_job(listed.sessions, job_id)
    assert (job.state, job.total) == (JobState.SUCCEEDED, 3)
    with listed.sessions() as session:
        record = session.get_one(Run, job_id)
        model = session.get_one(Model, record.model_id)
    assert (model.name, model.version, model.artifact_url) == (
        "mine",
        1,
        (process_settings.models_dir / "mine-1").resolve().as_uri(),
    )
    assert (record.dataset_sha256, record.metrics) == ("d", {"f1_macro": 0.8, "duration_s": 1.5})
    assert "co_occurrence" not in (record.results or {})
    assert [each.metrics["train_loss"] for each in epochs_of(listed, job_id)] == [None] * 3
    assert not (process_settings.training_dir / str(job_id)).exists()


class Killed(BaseException):
    pass


def die(*_: object) -> None:
    raise Killed


def test_a_worker_that_dies_before_the_end_costs_no_epoch_twice(listed, trainer, submit, monkeypatch):
    job_id = submit()
    unit_id = unit_of(listed, job_id)
    with monkeypatch.context() as patch:
        patch.setattr(training, "install", die)
        with pytest.raises(Killed):
            run(listed.sessions, unit_id, training.train_model)
    expire(listed.sessions, unit_id)
    reap(listed.sessions)
    (trainer.folders[0] / "model.json").unlink()
    trainer.folders[0].rmdir()
    make_due(listed.sessions, unit_id)
    run(listed.sessions, unit_id, training.train_model)
    assert read_job(listed.sessions, job_id).state == JobState.SUCCEEDED
    assert len(epochs_of(listed, job_id)) == read_unit(listed.sessions, unit_id).done == 3
    with listed.sessions() as session:
        assert session.scalars(select(Model.version).where(Model.name == "mine")).all() == [1]


def test_a_draining_worker_hands_the_training_back_and_that_is_no_attempt(listed, trainer, submit):
    def drain(epoch: int) -> None:
        if epoch == 2:
            with transaction(listed.sessions) as session:
                record_heartbeat(session, WORKER, ["train"], 1, draining=True)
            time.sleep(0.5)

    trainer.before_epoch = drain
    job_id = submit()
    unit_id = unit_of(listed, job_id)
    run(listed.sessions, unit_id, training.train_model)
    unit = read_unit(listed.sessions, unit_id)
    assert (unit.state, unit.attempt) == (UnitState.READY, 0)
    assert [each.epoch for each in epochs_of(listed, job_id)] == [1]


def test_a_cancelled_training_keeps_what_it_reported_and_gives_no_model(listed, trainer, submit):
    job_id = submit()

    def cancel(epoch: int) -> None:
        if epoch == 3:
            with transaction(listed.sessions) as session:
                cancel_job(session, job_id)
            until(lambda: trainer.should_stop())

    trainer.before_epoch = cancel
    run(listed.sessions, unit_of(listed, job_id), training.train_model)
    assert read_job(listed.sessions, job_id).state == JobState.CANCELLED
    assert [each.epoch for each in epochs_of(listed, job_id)] == [1, 2]
    with listed.sessions() as session:
        assert session.scalars(select(Model).where(Model.name == "mine")).all() == []


@pytest.mark.parametrize("queued_between", [False, True])
def test_a_retry_resumes_a_cancelled_training(listed, trainer, submit, process_settings, queued_between):
    job_id = submit()
    folder = process_settings.training_dir / str(job_id)

    def leave_a_checkpoint(_number: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "checkpoint").touch()
        with transaction(listed.sessions) as session:
            cancel_job(session, job_id)
        until(lambda: trainer.should_stop())

    trainer.before_epoch = leave_a_checkpoint
    run(listed.sessions, unit_of(listed, job_id), training.train_model)
    assert read_job(listed.sessions, job_id).state == JobState.CANCELLED
    trainer.before_epoch = lambda _: None

    def retry(old: UUID) -> UUID:
        with transaction(listed.sessions) as session:
            return retry_job(session, old, SubmissionContext("me")).job.id

    last = retry(job_id)
    if queued_between:  # a retry that no worker has ever seen
        with transaction(listed.sessions) as session:
            cancel_job(session, last)
            cancel_waiting(session)
            finish_complete_jobs(session)
        last = retry(last)
    found = []
    trainer.before_epoch = lambda _: found.append((process_settings.training_dir / str(last)).exists())
    run(listed.sessions, unit_of(listed, last), training.train_model)
    assert read_job(listed.sessions, last).state == JobState.SUCCEEDED
    assert found == [True] * 3
    with transaction(listed.sessions) as session, pytest.raises(NothingToRetry):
        retry_job(session, last, SubmissionContext("me"))


def test_the_labels_of_a_library_are_the_genre_tags_of_its_files(listed, trainer, submit):
    with transaction(listed.sessions) as session:
        for track in session.scalars(select(Track)):
            track.tags = {"genre": ["Rock; Pop"], "artist": "Somebody"}
    run(listed.sessions, unit_of(listed, submit(labels_from="genre_tags")), training.train_model)
    (dataset,) = trainer.datasets
    assert [example.labels for example in dataset.examples] == [("Rock", "Pop")] * 2
    assert {example.artist for example in dataset.examples} == {"Somebody"}
    paths = {example.path for example in dataset.examples}
    assert paths == {listed.root / "rock" / "a.mp3", listed.root / "jazz" / "b.mp3"}


def test_what_people_said_is_a_dataset_and_outranks_tags(listed, trainer, submit):
    """By a label set whose labels exclude each other: a yes decides, whatever the files are called later."""
    with transaction(listed.sessions) as session:
        labels = [SetLabel("Rock", "genre"), SetLabel("Jazz", "genre")]
        create_label_set(session, "mine", labels, exclusive=True)
        audio = {track.path: track.content_hash or b"" for track in session.scalars(select(Track))}
        said = [
            NewCorrection(audio["rock/a.mp3"], "jazz", Verdict.YES),
            NewCorrection(audio["jazz/b.mp3"], "rock", Verdict.NO),
        ]
        write_corrections(session, said, author="local", origin="track")
    corrections = {"kind": "corrections", "library": "music", "label_set": "mine"}
    with transaction(listed.sessions) as session:
        params = TrainingParams(experiment=EXPERIMENT | {"dataset": corrections})
        job = submit_job(session, params, SubmissionContext("me")).job
        delete_label_set(session, "mine")  # the job knows its labels
    run(listed.sessions, unit_of(listed, job.id), training.train_model)
    run(listed.sessions, unit_of(listed, submit(corrections=True)), training.train_model)
    alone, merged = trainer.datasets
    assert [(example.id, example.labels) for example in alone.examples] == [("rock/a.mp3", ("Jazz",))]
    assert "1 of 2 corrected tracks are left out" in alone.notes[0]
    assert [example.labels for example in merged.examples] == [("jazz",), ("jazz",)]
    assert merged.notes[0].startswith("People gave 1 tracks another label than their own")


def test_a_library_that_was_never_analysed_cannot_be_trained_on(music, trainer, submit):
    job_id = submit()
    run(music.sessions, unit_of(music, job_id), training.train_model)
    job = read_job(music.sessions, job_id)
    assert (job.state, job.error_code) == (JobState.FAILED, "unusable_dataset")
    assert "label the library first" in str(job.error_detail)


def test_training_tracks_are_stored_and_a_retrained_model_is_offered_with_its_comparison(
    listed, trainer, submit, monkeypatch
):
    with listed.sessions() as session:
        contents = [
            track.content_hash or b"" for track in session.scalars(select(Track).order_by(Track.path))
        ]
    trainer.records["tracks.safetensors"] = save(
        {
            "contents": np.array([list(content) for content in contents], np.uint8),
            "groups": np.arange(2),
            "targets": np.eye(2, dtype=bool),
            "trained_on": np.array([True, False]),
            "scores": np.array([[0.9, 0.1], [np.nan, np.nan]], np.float32),
            "tested": np.array([True, True]),
            "decisions": np.eye(2, dtype=bool),
        }
    )
    first = submit()
    run(listed.sessions, unit_of(listed, first), training.train_model)
    second = submit()
    with transaction(listed.sessions) as session:
        job = session.get_one(Job, second)
        job.params = job.params | {"compare_with": "mine@1"}
        said = [NewCorrection(content, "rock", Verdict.YES) for content in contents]
        write_corrections(session, said, author="local", origin="track")
    unit_id = unit_of(listed, second)
    with monkeypatch.context() as patch:
        patch.setattr(training, "store_training_tracks", die)  # the model is registered by then
        with pytest.raises(Killed):
            run(listed.sessions, unit_id, training.train_model)
    expire(listed.sessions, unit_id)
    reap(listed.sessions)
    make_due(listed.sessions, unit_id)
    run(listed.sessions, unit_id, training.train_model)
    assert len(trainer.datasets) == 2
    with listed.sessions() as session:
        old, new = (session.get_one(Model, session.get_one(Run, each).model_id) for each in (first, second))
        learnt = session.scalars(select(TrainingTrack).where(TrainingTrack.model_id == new.id)).all()
    assert [(each.content_hash, each.scores) for each in learnt] == [(contents[0], pytest.approx([0.9, 0.1]))]
    assert old.offer is None
    assert new.offer is not None
    # The first was trained on one track, and labelled none.
    assert (new.offer["against"], new.offer["verdict"]) == ("mine@1", "undecided")
    assert [new.offer[name] for name in ("tracks", "trained_on", "not_random")] == [0, 1, 1]


def test_a_training_may_take_longer_than_other_units(listed, trainer, submit, monkeypatch):
    monkeypatch.setattr(lease_module, "MAX_UNIT_S", 0.0)
    trainer.before_epoch = lambda _: time.sleep(0.1)
    job_id = submit()
    run(listed.sessions, unit_of(listed, job_id), training.train_model)
    assert read_job(listed.sessions, job_id).state == JobState.SUCCEEDED


def test_what_a_dead_run_left_under_the_name_of_a_model_is_replaced(
    listed, trainer, submit, process_settings
):
    target = process_settings.models_dir / "mine-1"
    target.mkdir()
    (target / "rubbish").touch()
    run(listed.sessions, unit_of(listed, submit()), training.train_model)
    assert sorted(path.name for path in target.iterdir()) == ["model.json"]
    assert json.loads((target / "model.json").read_text())["name"] == "mine"


def test_a_training_reports_its_activities_between_epochs(trainer, submit, listed, monkeypatch):
    seen: list[dict[str, Any] | None] = []

    def activity() -> dict[str, Any] | None:
        with listed.sessions() as session:
            return get_progress(session, [session.get_one(Job, job_id)])[job_id].details.get("activity")

    def train(*arguments: Any, on_activity: Any, **named: Any) -> TrainingResult:
        seen.append(activity())
        on_activity(Activity.SCORING, 3, 10)
        seen.append(activity())
        on_activity(Activity.WRITING, 0, None)
        seen.append(activity())
        result: TrainingResult = trainer(*arguments, **named)
        return result

    job_id = submit()
    monkeypatch.setattr(training, "train", train)
    run(listed.sessions, unit_of(listed, job_id), training.train_model)
    scoring = {"name": "scoring", "done": 3, "total": 10}
    assert seen == [None, scoring, {"name": "writing", "done": 0, "total": None}]
    assert activity() is None
