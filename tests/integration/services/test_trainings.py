"""Requests for a training: checked before anything is queued, and confined to libraries."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.config.dataset import CorrectionsDataset
from core.config.experiment import parse_experiment
from core.config.params import TrainingOverrides, TrainingParams
from core.errors import (
    DatasetOutsideLibraries,
    IdempotencyKeyReused,
    InvalidConfig,
    LabelSetNotFound,
    LibraryFolderMissing,
    LibraryNotFound,
)
from core.jobs.kinds import SubmissionContext
from core.jobs.progress import get_progress
from core.jobs.submission import Submission, submit_job
from core.services.datasets import place_dataset
from core.services.training import CONFIGS, planned_epochs, read_experiment
from core.states import Verdict
from core.store.correction_changes import NewCorrection, write_corrections
from core.store.label_sets import SetLabel, change_label_set, create_label_set, delete_label_set
from core.store.tables import Job, JobUnit, Library, Run
from tests.support.builders import make_library, make_model, make_run, make_track

LINEAR = {"kind": "transfer", "head": "linear"}
EXPERIMENT: dict[str, Any] = {
    "experiment_name": "mine",
    "dataset": {"kind": "library", "library": "music"},
    "model": {"kind": "transfer"},
    "training": {"epochs": 7},
}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "data" / "samples" / "happy").mkdir(parents=True)
    return tmp_path / "data"


@pytest.fixture
def library(session: Session, tmp_path: Path) -> Path:
    """A library `music`, and the model that transfers build on."""
    root = tmp_path / "music"
    (root / "jazz").mkdir(parents=True)
    make_library(session, name="music", path=str(root))
    make_model(session, artifact_url="file:///models/musicnn-msd-1")
    return root


@pytest.fixture
def submit(session: Session, data_dir: Path, library: Path):
    def call(
        experiment: dict[str, Any] | str, key: str | None = None, *, trusted: bool = False, **overrides: Any
    ) -> Submission:
        params = TrainingParams(experiment=experiment, overrides=TrainingOverrides(**overrides))
        context = SubmissionContext("me", key, is_trusted=trusted, data_dir=data_dir)
        return submit_job(session, params, context)

    return call


def folder_of(root: str | Path, **more: Any) -> dict[str, Any]:
    return EXPERIMENT | {"dataset": {"kind": "folder", "root": str(root)} | more}


def test_a_training_is_a_job_that_prepares_tracks_and_trains_and_a_run_of_its_own_id(session, submit):
    job = submit(EXPERIMENT | {"split": {"folds": 4}, "model": LINEAR}, epochs=3, num_genres=5).job
    units = session.scalars(select(JobUnit).order_by(JobUnit.seq)).all()
    run = session.get_one(Run, job.id)
    assert [(unit.kind, unit.queue) for unit in units] == [("train", "train"), ("plan-inputs", "batch")]
    assert job.total == 3 * (4 + 1)
    assert run.config == job.params["experiment"]
    assert run.config["labels"]["num_genres"] == 5
    assert run.model_id is None


def test_a_repeated_request_makes_one_run_and_another_one_is_refused(session, submit):
    first = submit(EXPERIMENT, "key")
    assert submit(EXPERIMENT, "key").job.id == first.job.id
    with pytest.raises(IdempotencyKeyReused):
        submit(EXPERIMENT, "key", epochs=8)
    assert session.scalar(select(func.count()).select_from(Run)) == 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"trainings": {}}, "Unknown key 'trainings': did you mean 'training'?"),
        ({"training": {"epoch": 3}}, "Unknown key 'training.epoch': did you mean 'epochs'?"),
        ({"training": {"epochs": 0}}, "training.epochs"),
        ({"experiment_name": "default"}, "reserved"),
        ({"experiment_name": "compare"}, "reserved"),
        ({"experiment_name": "../x"}, "experiment_name"),
        ({"model": {"kind": "transfer", "backbone": "nope-1"}}, "known are musicnn-msd-1"),
        ({"model": {"kind": "ensemble", "members": ["musicnn-msd-1", "x"]}}, "model.members"),
    ],
)
def test_a_mistake_is_named_and_nothing_is_queued(session, submit, change, sentence):
    with pytest.raises(InvalidConfig, match=sentence.replace("?", r"\?")):
        submit(EXPERIMENT | change)
    assert session.scalar(select(func.count()).select_from(Job)) == 0


def test_a_file_of_the_server_can_be_named_and_its_keys_replaced(submit, data_dir):
    job = submit("samples", epochs=2, experiment_name="short").job
    experiment = job.params["experiment"]
    assert experiment["dataset"]["root"] == str(data_dir / "samples")
    assert (experiment["experiment_name"], experiment["training"]["epochs"]) == ("short", 2)
    with pytest.raises(InvalidConfig, match=r"known are .*samples"):
        submit("no-such-file")


def test_until_its_first_epoch_a_training_tells_how_many_tracks_are_read(session):
    run = make_run(session)
    job, unit = session.get_one(Job, run.id), session.scalars(select(JobUnit)).one()
    assert get_progress(session, [job])[job.id].details == {}
    unit.timings = {"tracks_ready": 3.0, "tracks": 9.0}
    session.flush()
    assert get_progress(session, [job])[job.id].details == {"tracks_read": 3, "tracks_to_read": 9}
    unit.done, unit.started_at = 1, func.now()
    session.flush()
    assert get_progress(session, [job])[job.id].details == {}


@pytest.mark.parametrize("file", sorted(path.stem for path in CONFIGS.glob("*.yaml")))
def test_every_configuration_that_comes_along_can_be_asked_for(file):
    config = read_experiment(TrainingParams(experiment=file))
    assert planned_epochs(config) >= 1


def test_a_forest_is_grown_once_per_fold():
    forest = parse_experiment(EXPERIMENT | {"model": {"kind": "random_forest"}, "split": {"folds": 3}})
    assert planned_epochs(forest) == 4


def test_datasets_lie_in_libraries_or_among_the_samples(submit, library, data_dir):
    for root in (library, library / "jazz", data_dir / "samples", ".mfa/samples/happy"):
        submit(folder_of(root))


def test_untrusted_callers_train_on_nothing_else(submit, library, tmp_path, data_dir):
    (library / "link").symlink_to(tmp_path)
    outside = tmp_path / "music-elsewhere"
    outside.mkdir()
    for root in (outside, "/", "/etc", library / "..", library / "link", data_dir, ".mfa", "/no/such/folder"):
        with pytest.raises(DatasetOutsideLibraries):
            submit(folder_of(root))
    assert submit(folder_of(outside), trusted=True).job.params["experiment"]["dataset"]["root"] == str(
        outside
    )
    with pytest.raises(InvalidConfig, match="not a folder"):
        submit(folder_of("/no/such/folder"), trusted=True)


@pytest.mark.parametrize("file", ["/etc/passwd", "../secret.csv", "a/../../b.csv"])
def test_the_files_of_a_dataset_lie_inside_of_it(submit, library, file):
    with pytest.raises(InvalidConfig, match="leads out of the dataset's root"):
        submit(folder_of(library, kind="manifest", file=file))
    with pytest.raises(InvalidConfig, match="leads out of the dataset's root"):
        submit(folder_of(library, kind="jamendo", audio=file))


def test_a_library_must_be_there_with_its_folder(submit):
    with pytest.raises(LibraryNotFound):
        submit(EXPERIMENT | {"dataset": {"kind": "library", "library": "other"}})
    with pytest.raises(LibraryFolderMissing):
        submit(EXPERIMENT | {"dataset": {"kind": "library", "library": "music", "path": "rock"}})


def test_corrections_are_checked_before_the_training_is_queued(submit):
    def of(**options: Any) -> dict[str, Any]:
        return EXPERIMENT | {"dataset": {"kind": "corrections", "library": "music"} | options}

    with pytest.raises(InvalidConfig, match="nobody has corrected a label"):
        submit(of())
    with pytest.raises(LabelSetNotFound):
        submit(of(label_set="mine"))
    with pytest.raises(InvalidConfig, match="leave out `labels`"):
        submit(of(label_set="mine", labels=["jazz"]))
    with pytest.raises(LibraryNotFound):
        submit(of(library="other"))


def test_labels_that_a_study_has_read_from_a_label_set_outlive_the_set(session, library, data_dir):
    music = session.scalars(select(Library)).one()
    make_track(session, music, content_hash=b"a" * 32)
    write_corrections(session, [NewCorrection(b"a" * 32, "jazz", Verdict.YES)], author="me", origin="track")
    create_label_set(session, "mine", [SetLabel("jazz"), SetLabel("rock")], exclusive=True)
    context = SubmissionContext("me", None, data_dir=data_dir)
    asked = CorrectionsDataset(library=music.name, label_set="mine")
    placed, _ = place_dataset(session, asked, context)
    assert isinstance(placed, CorrectionsDataset)
    assert (placed.labels, placed.exclusive) == (("jazz", "rock"), (("jazz", "rock"),))
    change_label_set(session, "mine", labels=[SetLabel("polka")])
    assert place_dataset(session, placed, context)[0] == placed
    delete_label_set(session, "mine")
    assert place_dataset(session, placed, context)[0] == placed
