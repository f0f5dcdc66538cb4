"""Before a training, what is not known of its tracks is computed in units, and stored for everybody."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, text

from core.config.params import TrainingParams, TuningParams
from core.jobs.jobs import cancel_job
from core.jobs.kinds import SubmissionContext
from core.jobs.progress import get_progress
from core.jobs.reaping import cancel_waiting
from core.jobs.submission import submit_job
from core.ml.training.cache_paths import LOG_MEL
from core.pretrained.smoke_data import write_clips
from core.services.retraining import retrain_if_due, set_up
from core.settings import Settings
from core.states import JobState, Verdict
from core.store.correction_changes import NewCorrection, write_corrections
from core.store.registry import promote_model, register_artifact
from core.store.session import transaction
from core.store.tables import Embedding, Job, JobItem, JobUnit, Model, Prediction, Review, Run, Track
from tests.integration.workers.music import Music
from tests.support.planned import expire, make_due, read_job, read_unit, reap
from tests.support.tiny_model import write_tiny
from tests.support.worker import open_units, run, work_off
from workers import analysis, preparation, training

CLIPS = 4  # per label, of four labels
HEAD: dict[str, Any] = {
    "experiment_name": "head",
    "dataset": {"kind": "library", "library": "music", "labels_from": "folder"},
    "model": {"kind": "transfer", "backbone": "tiny-1"},
    "training": {"epochs": 1},
    "split": {"folds": 2},
    "evaluation": {"bootstrap": 0},
}
NETWORK = HEAD | {
    "experiment_name": "network",
    "features": {"n_mels": 24},
    "model": {"kind": "audio_cnn", "patch_frames": 32, "base_channels": 2, "embedding_size": 8},
}


class Killed(BaseException):
    """Nothing catches it, as nothing catches a SIGKILL."""


class Preparing:
    """A library of clips, and trainings on it of which each unit is run by itself."""

    def __init__(self, music: Music, settings: Settings) -> None:
        self.music, self.sessions, self.settings = music, music.sessions, settings

    def submit(self, experiment: dict[str, Any]) -> UUID:
        with transaction(self.sessions) as session:
            context = SubmissionContext("me", is_trusted=True, data_dir=self.settings.data_dir)
            return submit_job(session, TrainingParams(experiment=experiment), context).job.id

    def tune(self, space: dict[str, Any]) -> UUID:
        study = {"study_name": "mine", "experiment": HEAD | {"split": {}}, "space": space, "n_trials": 2}
        with transaction(self.sessions) as session:
            context = SubmissionContext("me", data_dir=self.settings.data_dir)
            return submit_job(session, TuningParams(study=study), context).job.id

    def plan(self, job_id: UUID) -> list[JobUnit]:
        """Run the planning unit; the units that it has added."""
        (planning,) = self.units(job_id, "plan-inputs")
        run(self.sessions, planning.id)
        return self.units(job_id, "prepare")

    def units(self, job_id: UUID, kind: str) -> list[JobUnit]:
        return [unit for unit in open_units(self.sessions, job_id) if unit.kind == kind]

    def count(self, table: Any) -> int:
        with self.sessions() as session:
            return session.scalar(select(func.count()).select_from(table)) or 0

    def frames(self) -> list[Path]:
        return sorted((self.settings.cache_dir / LOG_MEL).rglob("*.npy"))


@pytest.fixture
def mine(music: Music, process_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Preparing:
    for module in (preparation, training):
        monkeypatch.setattr(module, "get_settings", lambda: process_settings)
    monkeypatch.setattr("core.ml.training.identity.SETTLED_NS", 0)  # these files do not change again
    monkeypatch.setattr("workers.planning.SMALLEST_UNIT_S", 0.001)  # several units for a few seconds of audio
    write_clips(music.root, clips=CLIPS, duration_s=1)
    with transaction(music.sessions) as session:
        register_artifact(session, write_tiny(process_settings.models_dir))
        promote_model(session, "tiny", 1)
    return Preparing(music, process_settings)


@pytest.fixture
def listed(mine: Preparing) -> Preparing:
    """The tracks of the library are known, but not their audio."""
    job_id = mine.music.submit()
    (planning,) = open_units(mine.sessions, job_id)
    run(mine.sessions, planning.id)
    with transaction(mine.sessions) as session:
        cancel_job(session, job_id)
        cancel_waiting(session)
    return mine


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("audio was decoded")


def test_embeddings_that_are_missing_are_stored_like_those_of_an_analysis(listed, monkeypatch):
    job_id = listed.submit(HEAD)
    units = listed.plan(job_id)
    assert len(units) > 1
    for unit in units:
        run(listed.sessions, unit.id)
    assert listed.count(Embedding) == 4 * CLIPS
    assert listed.count(Prediction) == 0
    with listed.sessions() as session:
        assert None not in set(session.scalars(select(Track.content_hash)))
    shutil.rmtree(listed.music.root)
    work_off(listed.sessions, job_id)
    job = read_job(listed.sessions, job_id)
    assert (job.state, job.total) == (JobState.SUCCEEDED, 3)
    assert listed.plan(listed.submit(HEAD | {"seed": 1})) == []


def test_progress_counts_the_tracks_that_are_prepared_but_not_as_epochs(listed):
    job_id = listed.submit(HEAD)
    first, *_ = listed.plan(job_id)
    run(listed.sessions, first.id)
    with listed.sessions() as session:
        progress = get_progress(session, [session.get_one(Job, job_id)])[job_id]
    done = read_unit(listed.sessions, first.id).done
    assert done > 0
    assert (progress.total, progress.done) == (3, 0)
    assert progress.details == {"tracks_read": done, "tracks_to_read": 4 * CLIPS}


@pytest.mark.parametrize("experiment", [HEAD, NETWORK], ids=["head", "network"])
def test_a_killed_worker_costs_only_its_unit_and_nothing_is_computed_twice(listed, monkeypatch, experiment):
    job_id = listed.submit(experiment)
    first, second, *_ = listed.plan(job_id)
    run(listed.sessions, first.id)
    before = read_unit(listed.sessions, first.id).done

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(preparation, "analyse_files", die)
        patch.setattr(preparation, "cache_log_mels", die)
        with pytest.raises(Killed):
            run(listed.sessions, second.id)
    expire(listed.sessions, second.id)
    reap(listed.sessions)
    make_due(listed.sessions, second.id)
    assert len(listed.units(job_id, "prepare")) >= 1
    for unit in listed.units(job_id, "prepare"):
        run(listed.sessions, unit.id)
    assert read_unit(listed.sessions, first.id).done == before
    with listed.sessions() as session:
        states = list(session.scalars(select(JobItem.state).where(JobItem.job_id == job_id)))
    assert states == ["done"] * 4 * CLIPS


def test_a_planner_that_is_killed_adds_its_units_once(listed):
    job_id = listed.submit(HEAD)
    (planning,) = listed.units(job_id, "plan-inputs")

    def plan_and_die(lease: Any) -> None:
        preparation.plan_inputs(lease)
        raise Killed

    with pytest.raises(Killed):
        run(listed.sessions, planning.id, plan_and_die)
    units = listed.units(job_id, "prepare")
    expire(listed.sessions, planning.id)
    reap(listed.sessions)
    make_due(listed.sessions, planning.id)
    assert [unit.id for unit in listed.plan(job_id)] == [unit.id for unit in units]


def test_the_frames_of_a_network_are_prepared_in_units_and_read_by_the_training(listed, monkeypatch):
    job_id = listed.submit(NETWORK)
    for unit in listed.plan(job_id):
        run(listed.sessions, unit.id)
    assert len(listed.frames()) == 4 * CLIPS
    monkeypatch.setattr("core.ml.training.feature_cache.stream", refuse)
    work_off(listed.sessions, job_id)
    assert read_job(listed.sessions, job_id).state == JobState.SUCCEEDED
    assert listed.plan(listed.submit(NETWORK | {"seed": 1})) == []


def test_a_study_prepares_the_inputs_of_all_its_models_once(listed):
    network = {"kind": "categorical", "choices": ["transfer", "audio_cnn"]}
    units = listed.plan(listed.tune({"model.kind": network}))
    tracks = Counter(tuple(sorted(unit.payload)) for unit in units for _ in range(unit.payload["tracks"]))
    assert tracks == {("backbone", "tracks"): 4 * CLIPS, ("features", "tracks"): 4 * CLIPS}
    bands = {"kind": "int", "low": 16, "high": 32}
    assert listed.plan(listed.tune({"model.kind": network, "features.n_mels": bands})) == []


def test_a_full_feature_store_fails_the_training_with_the_reason(listed, monkeypatch):
    work_off(listed.sessions, listed.submit(NETWORK))
    small = listed.settings.model_copy(update={"feature_store_gb": 1e-9})
    monkeypatch.setattr(preparation, "get_settings", lambda: small)
    job_id = listed.submit(NETWORK | {"features": {"n_mels": 32}})
    work_off(listed.sessions, job_id)
    job = read_job(listed.sessions, job_id)
    assert (job.state, job.error_code) == (JobState.FAILED, "feature_store_full")
    assert "MFA_FEATURE_STORE_GB allows 1e-09" in str(job.error_detail)


def test_files_of_no_library_are_hashed_and_known_audio_is_not_decoded(mine, tmp_path, monkeypatch):
    monkeypatch.setattr(analysis, "get_settings", lambda: mine.settings)
    mine.music.label()
    shutil.copytree(mine.music.root, tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "low" / "new.flac").write_bytes(b"no audio")
    monkeypatch.setattr("core.ml.inference.tagger.stream", refuse)
    job_id = mine.submit(HEAD | {"dataset": {"kind": "folder", "root": str(tmp_path / "elsewhere")}})
    work_off(mine.sessions, job_id)
    with mine.sessions() as session:
        run_row = session.get_one(Run, job_id)
        states = dict(
            session.execute(
                select(JobItem.state, func.count()).where(JobItem.job_id == job_id).group_by(JobItem.state)
            ).all()
        )
    assert states == {"skipped": 4 * CLIPS, "failed": 1}
    assert run_row.results is not None
    assert (run_row.results["tracks"]["all"], list(run_row.results["dropped"])) == (
        4 * CLIPS,
        ["low/new.flac"],
    )


def test_what_cannot_be_prepared_is_left_out_with_its_reason(listed, monkeypatch):
    broken = listed.music.root / "low" / "low_0.flac"
    broken.write_bytes(b"no audio")
    job_id = listed.submit(HEAD)
    work_off(listed.sessions, job_id)
    with listed.sessions() as session:
        results = session.get_one(Run, job_id).results
    assert results is not None
    assert list(results["dropped"]) == ["low/low_0.flac"]
    assert read_job(listed.sessions, job_id).state == JobState.SUCCEEDED


def test_only_tracks_that_the_training_learns_from_are_prepared(mine, monkeypatch):
    """Of corrected tracks, those on whose labels people have decided."""
    monkeypatch.setattr(analysis, "get_settings", lambda: mine.settings)
    mine.music.label()
    with transaction(mine.sessions) as session:
        audio = [track.content_hash or b"" for track in session.scalars(select(Track).order_by(Track.path))]
        said = [
            NewCorrection(digest, label, Verdict.YES if number % 2 == place else Verdict.NO)
            for number, digest in enumerate(audio[:7])
            for place, label in enumerate(("even", "odd"))
            if number < 6 or label == "odd"
        ]
        write_corrections(session, said, author="local", origin="track")
    job_id = mine.submit(NETWORK | {"dataset": {"kind": "corrections", "library": "music"}})
    mine.plan(job_id)
    with mine.sessions() as session:
        assert session.scalar(select(func.count()).where(JobItem.job_id == job_id)) == 6


def test_a_head_is_trained_again_on_corrections_and_compared_on_tracks_new_to_both(mine, monkeypatch):
    """Tracks are added to the folder that the first was trained on, and all of it is corrected after that."""
    monkeypatch.setattr(analysis, "get_settings", lambda: mine.settings)
    words = ["high", "low", "noisy", "pulsing"]
    by_words = {"kind": "library", "library": "music", "labels_from": "words", "vocabulary": words}
    write_clips(mine.music.root / "set", clips=2, duration_s=1)
    mine.music.label()
    work_off(mine.sessions, mine.submit(HEAD | {"dataset": by_words | {"path": "set"}}))
    write_clips(mine.music.root / "set" / "new", clips=3, duration_s=1.2)
    mine.music.label(model="head")
    with transaction(mine.sessions) as session:
        tracks = session.scalars(select(Track).order_by(Track.path)).all()
        corrected = [track for track in tracks if track.path.startswith("set/")]
        set_up(session, "head", len(corrected), None, "me")
        until = func.clock_timestamp() + text("interval '10 min'")
        for track in corrected:  # only random picks are compared
            digest = track.content_hash or b""
            session.add(Review(content_hash=digest, reviewer="me", leased_until=until, at_random=True))
    with transaction(mine.sessions) as session:
        said = [
            NewCorrection(track.content_hash or b"", label, (Verdict.NO, Verdict.YES)[label in track.path])
            for track in corrected
            for label in words
        ]
        write_corrections(session, said, author="me", origin="track")
    with transaction(mine.sessions) as session:
        job = retrain_if_due(session, "head", mine.settings.data_dir)
    assert job is not None
    work_off(mine.sessions, job.id)
    with mine.sessions() as session:
        trained = session.get_one(Run, job.id)
        made = session.get_one(Model, trained.model_id)
    assert (made.name, made.version) == ("head", 2)
    assert made.offer is not None
    assert [made.offer[name] for name in ("against", "tracks", "trained_on", "not_labelled")] == [
        "head@1",
        12,
        8,
        0,
    ]
    assert made.offer["verdict"] in ("better", "worse", "undecided")
    assert made.offer["f1"] is not None
    assert "learning_curve" in (trained.results or {})


def test_a_dataset_that_cannot_be_used_fails_before_anything_is_opened(music, process_settings, monkeypatch):
    monkeypatch.setattr(preparation, "get_settings", lambda: process_settings)
    with transaction(music.sessions) as session:
        register_artifact(session, write_tiny(process_settings.models_dir))
    mine = Preparing(music, process_settings)
    job_id = mine.submit(HEAD)
    assert mine.plan(job_id) == []
    job = read_job(music.sessions, job_id)
    assert (job.state, job.error_code) == (JobState.FAILED, "unusable_dataset")
    assert open_units(music.sessions, job_id) == []


def test_audio_known_from_another_library_is_not_decoded_by_a_head(mine, tmp_path, monkeypatch):
    """Its backbone has embedded it."""
    monkeypatch.setattr(analysis, "get_settings", lambda: mine.settings)
    mine.music.label()
    head_id = mine.submit(HEAD)
    work_off(mine.sessions, head_id)
    shutil.copytree(mine.music.root, mine.music.root / "copies")
    monkeypatch.setattr("core.ml.inference.tagger.stream", refuse)
    outcomes = mine.music.outcomes(mine.music.label(model="head", path="copies"))
    assert outcomes
    assert set(outcomes.values()) == {"done"}
