"""Requests for a training: what is asked for is checked to the last key before anything is queued."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.config.dataset import DatasetConfig, LibraryDataset, placed
from core.config.experiment import ExperimentConfig, load_experiment, parse_experiment
from core.config.models import EnsembleConfig, ModelConfig, RandomForestConfig, TransferConfig
from core.config.params import JobKind, TrainingParams
from core.errors import (
    DatasetOutsideLibraries,
    InvalidConfig,
    JobNotFinished,
    NothingToRetry,
    OutsideLibrary,
)
from core.jobs.jobs import Request, Submission, digest, find_replay, get_job, retry_request, submit_job
from core.jobs.queue import TRAIN
from core.library.paths import validate_relative
from core.settings import PROJECT
from core.states import TERMINAL_JOB_STATES, JobState
from core.store.experiments import add_run
from core.store.libraries import check_folder, get_library_by_name
from core.store.registry import ALIASES
from core.store.tables import JobUnit, Library, Model

CONFIGS = PROJECT / "configs" / "experiments"
SMOKE = PROJECT / "configs" / "smoke.yaml"


def submit_training(
    session: Session,
    params: TrainingParams,
    owner: str,
    idempotency_key: str | None = None,
    *,
    data_dir: Path,
    trusted: bool,
) -> Submission:
    """Queue a training; whoever is not `trusted` may only learn from what lies in a library."""
    request = Request(owner, idempotency_key, digest(JobKind.TRAINING, params.model_dump(mode="json")))
    if (replay := find_replay(session, request)) is not None:
        return replay
    config = read_experiment(params)
    return queue_training(session, config, request, data_dir=data_dir, trusted=trusted)


def queue_training(
    session: Session,
    config: ExperimentConfig,
    request: Request,
    *,
    data_dir: Path,
    trusted: bool,
    study_id: UUID | None = None,
) -> Submission:
    """Check an experiment and queue it; `study_id` is the study that has chosen the parameters, if any."""
    check_name(config)
    check_bases(session, config.model)
    dataset, library = place_dataset(session, config.dataset, data_dir, trusted=trusted)
    config = config.model_copy(update={"dataset": dataset})
    job = {
        "kind": JobKind.TRAINING,
        "params": {"experiment": config.model_dump(mode="json")}
        | ({"study_id": str(study_id)} if study_id else {}),
        "library_id": library.id if library else None,
        "total": planned_epochs(config),
    }
    return _submit(session, job, config, {}, request)


def _submit(
    session: Session,
    job: dict[str, Any],
    config: ExperimentConfig,
    payload: dict[str, Any],
    request: Request,
) -> Submission:
    unit = {"kind": "train", "queue": TRAIN, "payload": payload}
    submission = submit_job(session, job, unit, request)
    if not submission.replayed:
        add_run(session, submission.job, config)
    return submission


def retry_training(
    session: Session,
    job_id: UUID,
    owner: str,
    idempotency_key: str | None = None,
    *,
    visible_to: str | None = None,
) -> Submission:
    """A new job that goes on where a failed or cancelled training was."""
    old = get_job(session, job_id, visible_to=visible_to, hold=True)
    if old.state not in TERMINAL_JOB_STATES:
        raise JobNotFinished
    if old.state == JobState.SUCCEEDED:
        raise NothingToRetry("This training has succeeded: submit a new one to train again.")
    config = ExperimentConfig.model_validate(old.params["experiment"])
    check_bases(session, config.model)
    earlier = session.scalars(select(JobUnit.payload).where(JobUnit.job_id == old.id)).one()
    job = {
        "kind": old.kind,
        "params": old.params,
        "library_id": old.library_id,
        "total": planned_epochs(config),
        "retry_of": old.id,
    }
    payload = {"continues": [str(old.id), *earlier.get("continues", [])]}
    return _submit(session, job, config, payload, retry_request(old.id, owner, idempotency_key))


def read_experiment(params: TrainingParams) -> ExperimentConfig:
    """The experiment that is meant; a wrong key is an error that names it and the nearest right one."""
    return find_experiment(params.experiment, params.overrides.model_dump())


def find_experiment(
    wanted: dict[str, Any] | str, overrides: Mapping[str, Any] | None = None
) -> ExperimentConfig:
    """A configuration, or the one of this name that comes along."""
    if isinstance(wanted, dict):
        return parse_experiment(wanted, overrides)
    return load_experiment(find_config(CONFIGS, "experiment", wanted), overrides)


def find_config(folder: Path, what: str, name: str) -> Path:
    """The file of this name that comes along; `smoke` is also an experiment."""
    files = {path.stem: path for path in (SMOKE, *sorted(folder.glob("*.yaml")))}
    if name not in files:
        known = ", ".join(sorted(files))
        raise InvalidConfig(f"There is no {what} file {name!r}; known are {known}.")
    return files[name]


def check_name(config: ExperimentConfig) -> None:
    """The experiment's name is also that of its models."""
    if config.experiment_name in ALIASES:
        raise InvalidConfig(f"experiment_name: {config.experiment_name!r} is an alias of models.")


def planned_epochs(config: ExperimentConfig) -> int:
    """Epochs of all fits together, unless some of them stop early."""
    fits = config.split.folds + 1 if config.split.folds else 1
    if isinstance(config.model, RandomForestConfig | EnsembleConfig):
        return fits
    return fits * config.training.epochs


def place_dataset(
    session: Session, dataset: DatasetConfig, data_dir: Path, *, trusted: bool
) -> tuple[DatasetConfig, Library | None]:
    """The dataset with an absolute root, or the library that it is."""
    if isinstance(dataset, LibraryDataset):
        library = get_library_by_name(session, dataset.library)
        check_folder(library, dataset.path)
        return dataset, library
    for name in ("file", "audio"):
        _check_inside(name, getattr(dataset, name, ""))
    root = absolute(dataset.root, data_dir)
    if not trusted and not any(root.is_relative_to(folder) for folder in _open_folders(session, data_dir)):
        raise DatasetOutsideLibraries
    if not root.is_dir():
        raise InvalidConfig(f"dataset.root: {root} is not a folder on the server.")
    return dataset.model_copy(update={"root": str(root)}), None


def absolute(root: str, data_dir: Path) -> Path:
    """A root as a configuration names it: absolute, in the data folder, or relative to the project."""
    return (PROJECT / placed(root, data_dir)).resolve()


def _check_inside(name: str, path: str) -> None:
    try:
        validate_relative(path)
    except OutsideLibrary as error:
        raise InvalidConfig(f"dataset.{name}: {path!r} leads out of the dataset's root.") from error


def _open_folders(session: Session, data_dir: Path) -> Iterable[Path]:
    """Where everybody's datasets may lie."""
    return [*map(Path, session.scalars(select(Library.path))), (PROJECT / data_dir / "samples").resolve()]


def check_bases(session: Session, model: ModelConfig) -> None:
    """Stored models that the new one is to build on are named by their folders.

    They cannot be deleted until the transaction ends, when the job that needs them is there.
    """
    named = bases_of(model)
    if not any(named.values()):
        return
    held = select(Model.artifact_url).with_for_update(read=True, key_share=True)
    known = sorted(Path(urlsplit(url).path).name for url in session.scalars(held))
    for key, folders in named.items():
        for folder in folders:
            if folder not in known:
                raise InvalidConfig(
                    f"model.{key}: there is no model {folder!r}; known are {', '.join(known) or 'none'}."
                )


def bases_of(model: ModelConfig) -> dict[str, tuple[str, ...]]:
    """The folders of the stored models that one is built on, by the key that names them."""
    if isinstance(model, TransferConfig):
        return {"backbone": (model.backbone,)}
    return {"members": model.members} if isinstance(model, EnsembleConfig) else {}
