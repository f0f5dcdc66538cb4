"""Studies: requests are checked to the last key before anything is queued; what came out is read here."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session, defer

from core.config import ModelConfig
from core.db.tables import Job, JobUnit, Study, Trial
from core.errors import ArtifactNotFound, GridExhausted, NoBestTrial, StudyAtWork, StudyNotFound
from core.params import JobKind, TrainingParams, TuningParams
from core.queue import TRIAL
from core.search_space import best_experiment, canonical, check_space, grid_size, pareto_front, planned_trials
from core.services.cursor import Page, cut_page, decode_cursor
from core.services.jobs import OPEN_JOB_STATES, Submission, notify_dispatcher, submit_job
from core.services.thresholds import submit_thresholds
from core.services.trainings import (
    PROJECT,
    check_bases,
    check_name,
    find_config,
    place_dataset,
    read_experiment,
    submit_training,
)
from core.services.trials import USABLE, add_trial, lock_study
from core.states import TrialState
from core.tuning_config import Choices, GridConfig, TuningConfig, load_tuning, parse_tuning

CONFIGS = PROJECT / "configs" / "tuning"
PLOTS = ("history", "importances", "parallel_coordinates", "pareto_front", "slice")


@dataclass(frozen=True)
class StudyRow:
    """A study with what its neighbours know of it."""

    study: Study
    state: str | None  # its last job's
    counts: dict[str, int]  # trials by state


def submit_tuning(
    session: Session,
    params: TuningParams,
    owner: str,
    idempotency_key: str | None = None,
    *,
    data_dir: Path,
    trusted: bool,
) -> Submission:
    """Queue a study, or the tuning of a model's thresholds."""
    if params.thresholds is not None:
        return submit_thresholds(session, params.thresholds, owner, idempotency_key)
    assert params.study is not None
    return submit_study(session, params.study, owner, idempotency_key, data_dir=data_dir, trusted=trusted)


def submit_study(
    session: Session,
    wanted: dict[str, Any] | str,
    owner: str,
    idempotency_key: str | None = None,
    *,
    data_dir: Path,
    trusted: bool,
) -> Submission:
    """Queue a study; whoever is not `trusted` may only learn from what lies in a library."""
    config = read_study(wanted)
    experiment = best_experiment(config, {})
    check_name(experiment)
    dataset, library = place_dataset(session, experiment.dataset, data_dir, trusted=trusted)
    placed = canonical(experiment.model_copy(update={"dataset": dataset}))
    config = config.model_copy(update={"experiment": placed})
    check_space(config)
    _check_bases(session, config)
    job = {
        "kind": JobKind.TUNING,
        "owner": owner,
        "params": {"study": config.model_dump(mode="json")},
        "library_id": library.id if library else None,
        "total": planned_trials(config),
    }
    submission = submit_job(session, job, {"kind": "trial", "queue": TRIAL}, idempotency_key)
    if not submission.replayed:
        content = config.model_dump(mode="json")
        study = Study(id=submission.job.id, name=config.study_name, config=content, job_id=submission.job.id)
        session.add(study)
        session.flush()
        _begin(session, study, submission.job, config.max_parallel)
    return submission


def read_study(wanted: dict[str, Any] | str) -> TuningConfig:
    """The study that is meant, its experiment looked up."""
    if isinstance(wanted, dict):
        config = parse_tuning(wanted)
    else:
        config = load_tuning(find_config(CONFIGS, "study", wanted))
    experiment = read_experiment(TrainingParams(experiment=config.experiment))
    return config.model_copy(update={"experiment": canonical(experiment)})


def _check_bases(session: Session, config: TuningConfig) -> None:
    """The stored models that some trial might build on."""
    for model in possible_models(config):
        check_bases(session, model)


def possible_models(config: TuningConfig) -> Iterator[ModelConfig]:
    """One of each kind and backbone that a trial might train."""
    keys = [key for key in ("model.kind", "model.backbone") if isinstance(config.space.get(key), Choices)]
    for values in itertools.product(*(config.space[key].choices for key in keys)):  # type: ignore[union-attr]
        chosen = dict(zip(keys, values, strict=True))
        if chosen.get("model.kind", "transfer") != "transfer":
            chosen.pop("model.backbone", None)
        yield best_experiment(config, chosen).model


def _begin(session: Session, study: Study, job: Job, max_parallel: int) -> None:
    """So many trials as may run at a time; each that ends adds another one."""
    first = session.scalars(select(JobUnit.id).where(JobUnit.job_id == job.id)).one()
    add_trial(session, study, job.id, first)
    for _ in range(min(max_parallel, job.total) - 1):
        add_trial(session, study, job.id)
    notify_dispatcher(session)


def resume_study(
    session: Session,
    study_id: UUID,
    n_trials: int,
    owner: str,
    idempotency_key: str | None = None,
    *,
    data_dir: Path,
    trusted: bool,
) -> Submission:
    """A new job that adds trials to a study whose last job has ended."""
    study = lock_study(session, get_study(session, study_id).study.id)
    config = TuningConfig.model_validate(study.config)
    dataset = best_experiment(config, {}).dataset
    _, library = place_dataset(session, dataset, data_dir, trusted=trusted)
    job = {
        "kind": JobKind.TUNING,
        "owner": owner,
        "params": {"resume": str(study.id), "n_trials": n_trials},
        "total": _left(session, study, config, n_trials),
        "library_id": library.id if library else None,
    }
    submission = submit_job(session, job, {"kind": "trial", "queue": TRIAL}, idempotency_key)
    if not submission.replayed:
        _check_idle(session, study)
        if submission.job.total == 0:
            raise GridExhausted
        study.job_id = submission.job.id
        session.flush()
        _begin(session, study, submission.job, config.max_parallel)
    return submission


def _check_idle(session: Session, study: Study) -> None:
    state = session.scalar(select(Job.state).where(Job.id == study.job_id))
    if state in OPEN_JOB_STATES:
        raise StudyAtWork


def _left(session: Session, study: Study, config: TuningConfig, n_trials: int) -> int:
    """How many more there can be: a grid ends with its last point; what was cancelled is still to try."""
    if not isinstance(config.sampler, GridConfig):
        return n_trials
    tried = (*USABLE, TrialState.FAILED)
    done = session.scalar(select(func.count()).where(Trial.study_id == study.id, Trial.state.in_(tried))) or 0
    return max(0, min(n_trials, grid_size(config.sampler, config.space) - done))


def train_best(
    session: Session,
    study_id: UUID,
    owner: str,
    idempotency_key: str | None = None,
    *,
    number: int | None = None,
    data_dir: Path,
    trusted: bool,
) -> Submission:
    """Train what the best trial was (or another one) for all epochs, and register the model."""
    row = get_study(session, study_id)
    config = TuningConfig.model_validate(row.study.config)
    trials = list_trials(session, study_id, curves=False)
    chosen = best_trials(config, trials)
    if number is not None:
        chosen = [trial for trial in trials if trial.number == number and trial.state == TrialState.COMPLETE]
    if not chosen:
        raise NoBestTrial
    experiment = best_experiment(config, chosen[0].params or {})
    params = TrainingParams(experiment=experiment.model_dump(mode="json"))
    return submit_training(
        session, params, owner, idempotency_key, data_dir=data_dir, trusted=trusted, study_id=study_id
    )


def list_studies(session: Session, cursor: str | None, limit: int) -> Page[StudyRow]:
    """Newest first."""
    query = select(Study).order_by(Study.created_at.desc(), Study.id.desc()).limit(limit + 1)
    if cursor is not None:
        key = decode_cursor(cursor, datetime.fromisoformat, UUID)
        query = query.where(tuple_(Study.created_at, Study.id) < key)
    rows = _with_jobs(session, session.scalars(query).all())
    return cut_page(rows, limit, lambda row: (row.study.created_at, row.study.id))


def get_study(session: Session, study_id: UUID) -> StudyRow:
    study = session.get(Study, study_id)
    if study is None:
        raise StudyNotFound
    return _with_jobs(session, [study])[0]


def _with_jobs(session: Session, studies: Sequence[Study]) -> list[StudyRow]:
    job_ids = [study.job_id for study in studies if study.job_id]
    jobs = session.execute(select(Job.id, Job.state).where(Job.id.in_(job_ids)))
    states: dict[UUID, str] = {job_id: state for job_id, state in jobs}
    counts: dict[UUID, dict[str, int]] = {study.id: {} for study in studies}
    grouped = select(Trial.study_id, Trial.state, func.count()).where(Trial.study_id.in_(counts))
    for study_id, state, count in session.execute(grouped.group_by(Trial.study_id, Trial.state)):
        counts[study_id][state] = count
    return [
        StudyRow(study, states.get(study.job_id) if study.job_id else None, counts[study.id])
        for study in studies
    ]


def list_trials(
    session: Session, study_id: UUID, *, curves: bool = True, numbers: Sequence[int] | None = None
) -> list[Trial]:
    """All, or those of these numbers; their curves are most of what there is to read.

    None of a study that has been deleted since it was read.
    """
    query = (
        select(Trial)
        .join(Study, Study.id == Trial.study_id)
        .where(Trial.study_id == study_id)
        .order_by(Trial.number)
    )
    if numbers is not None:
        query = query.where(Trial.number.in_(numbers))
    return list(session.scalars(query if curves else query.options(defer(Trial.curve))))


def best_trials(config: TuningConfig, trials: Sequence[Trial]) -> list[Trial]:
    """The best complete trial, the first of equals; with several objectives the Pareto front."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE and trial.values]
    front = pareto_front(
        [trial.values or () for trial in complete], [each.maximizes for each in config.objectives]
    )
    found = [complete[place] for place in front]
    return found[:1] if len(config.objectives) == 1 else found


def save_importances(session: Session, study_id: UUID, importances: dict[str, Any]) -> None:
    session.get_one(Study, study_id).importances = importances
    session.flush()


def list_plots(study_id: UUID, studies_dir: Path) -> list[str]:
    return [name for name in PLOTS if (studies_dir / str(study_id) / f"{name}.png").is_file()]


def read_plot(session: Session, study_id: UUID, name: str, studies_dir: Path) -> bytes:
    """A picture that a worker has drawn."""
    study = get_study(session, study_id).study
    if name in PLOTS:
        with suppress(FileNotFoundError):
            return (studies_dir / str(study.id) / f"{name}.png").read_bytes()
    raise ArtifactNotFound("There is no such picture of this study; they are drawn when its job ends.")
