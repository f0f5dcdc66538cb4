"""Jobs that train a model: what is asked for is checked to the last key before anything is queued."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.config.experiment import ExperimentConfig, load_experiment, parse_experiment
from core.config.models import EnsembleConfig, ModelConfig, TransferConfig
from core.config.params import JobKind, TrainingParams
from core.errors import InvalidConfig, NothingToRetry
from core.jobs.kinds import JobSpec, NewJob, Progress, SubmissionContext, UnitSpec
from core.services import queues
from core.services.datasets import check_labels, place_dataset
from core.services.preparation import PHASE, PLAN_INPUTS, PREPARE, describe_preparation
from core.services.references import hold_library_and_model
from core.settings import PROJECT
from core.states import JobState, UnitState
from core.store.experiments import add_run
from core.store.registry import artifact_folder, check_model_name
from core.store.tables import Job, JobUnit, Model

CONFIGS = PROJECT / "configs" / "experiments"
SMOKE = PROJECT / "configs" / "smoke.yaml"
TRAINING_TIME_LIMIT_S = 30 * 24 * 3600  # may take days; one that hangs loses its lease

TRAIN = UnitSpec(
    "train",
    queues.TRAIN,
    "workers.training:train_model",
    time_limit_s=TRAINING_TIME_LIMIT_S,
    can_be_cut=False,
    after=PHASE,
    is_serving=False,
)


def prepare_training(session: Session, params: TrainingParams, context: SubmissionContext) -> NewJob:
    """Unless the submitter is trusted, the dataset must lie in a library."""
    config = read_experiment(params)
    check_labels(config.dataset)
    return prepare_experiment(session, config, context)


def prepare_experiment(
    session: Session,
    config: ExperimentConfig,
    context: SubmissionContext,
    *,
    study_id: UUID | None = None,
    compare_with: str | None = None,
) -> NewJob:
    """Check an experiment.

    `study_id`: the study that has chosen the parameters, if any; `compare_with`: the model, `name@version`,
    that the new one is compared with.
    """
    check_name(config)
    check_bases(session, config.model)
    dataset, library = place_dataset(session, config.dataset, context)
    config = config.model_copy(update={"dataset": dataset})
    return NewJob(
        JobKind.TRAINING,
        {"experiment": config.model_dump(mode="json")}
        | ({"study_id": str(study_id)} if study_id else {})
        | ({"compare_with": compare_with} if compare_with else {}),
        total=planned_epochs(config),
        library_id=library.id if library else None,
        on_insert=lambda session, job: add_run(session, job, config),
    )


def retry_training(session: Session, old: Job) -> NewJob:
    """Continue a failed or cancelled training from its last checkpoint."""
    if old.state == JobState.SUCCEEDED:
        raise NothingToRetry("This training has succeeded: submit a new one to train again.")
    config = ExperimentConfig.model_validate(old.params["experiment"])
    check_bases(session, config.model)
    of_training = select(JobUnit.payload).where(JobUnit.job_id == old.id, JobUnit.kind == TRAIN.name)
    earlier = session.scalars(of_training).one()
    return NewJob(
        JobKind.TRAINING,
        old.params,
        total=planned_epochs(config),
        library_id=old.library_id,
        retry_of=old.id,
        payload={"continues": [str(old.id), *earlier.get("continues", [])]},
        on_insert=lambda session, job: add_run(session, job, config),
    )


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
    check_model_name(config.experiment_name)


def planned_epochs(config: ExperimentConfig) -> int:
    """Epochs of all fits together, unless the dataset decides otherwise or some fits stop early."""
    fits = config.split.most_fits
    return fits * config.training.epochs if config.has_epochs else fits


def check_bases(session: Session, model: ModelConfig) -> None:
    """Stored models that the new one is to build on are named by their folders.

    They cannot be deleted until the transaction ends, when the job that needs them is there.
    """
    named = bases_of(model)
    if not any(named.values()):
        return
    held = select(Model).with_for_update(read=True, key_share=True)
    known = sorted(artifact_folder(model).name for model in session.scalars(held))
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


def _builds_on(_session: Session, job: Job, model: Model) -> bool:
    """Whether a training is to build on a model.

    Not if this version cannot read its parameters: such a job fails before it needs any.
    """
    try:
        config = ExperimentConfig.model_validate(job.params["experiment"])
    except (ValidationError, KeyError):
        return False
    return is_base(model, [config.model])


def is_base(model: Model, built: Iterable[ModelConfig]) -> bool:
    """Whether one of these is built on a stored model."""
    folder = artifact_folder(model).name
    return any(folder in folders for each in built for folders in bases_of(each).values())


def _describe_progress(
    session: Session, jobs: Sequence[Job], progress: Mapping[UUID, Progress]
) -> dict[UUID, dict[str, Any]]:
    """What running trainings do, and how many tracks are read of those that have no epoch yet.

    While tracks are prepared for it, a training does nothing itself.
    """
    job_ids = [job.id for job in jobs]
    is_training = (JobUnit.state == UnitState.RUNNING) & (JobUnit.kind == TRAIN.name)
    running = select(JobUnit.job_id, JobUnit.activity).where(JobUnit.job_id.in_(job_ids), is_training)
    details: dict[UUID, dict[str, Any]] = {
        job_id: {"activity": activity} for job_id, activity in session.execute(running)
    }
    reading = [job_id for job_id in job_ids if not progress[job_id].done]
    read, total = (JobUnit.timings[name].as_float() for name in ("tracks_ready", "tracks"))
    counts = select(JobUnit.job_id, read, total).where(JobUnit.job_id.in_(reading), total.is_not(None))
    for job_id, tracks_read, tracks_to_read in session.execute(counts):
        counted = {"tracks_read": int(tracks_read), "tracks_to_read": int(tracks_to_read)}
        details[job_id] = details.get(job_id, {}) | counted
    return details | describe_preparation(session, jobs, progress)


TRAINING = JobSpec(
    name=JobKind.TRAINING,
    params=TrainingParams,
    first_unit=TRAIN,
    opening_units=(PLAN_INPUTS,),
    further_units=(PREPARE,),
    prepare=prepare_training,
    retry=retry_training,
    hold_references=hold_library_and_model,
    describe_progress=_describe_progress,
    uses_model=_builds_on,
    keeps_checkpoints=True,
)
