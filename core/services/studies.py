"""Studies: requests are checked to the last key before anything is queued; what came out is read here."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, cast, func, select, tuple_
from sqlalchemy.orm import Session

from core.config.models import ModelConfig
from core.config.params import JobKind, TuningParams
from core.config.search_space import (
    best_experiment,
    canonical,
    check_space,
    grid_size,
    pareto_front,
    planned_trials,
)
from core.config.tuning import Choices, GridConfig, TuningConfig, load_tuning, parse_tuning
from core.errors import ArtifactNotFound, GridExhausted, NoBestTrial, StudyAtWork, StudyNotFound
from core.jobs.jobs import (
    OPEN_JOB_STATES,
    Request,
    Submission,
    digest,
    find_replay,
    notify_dispatcher,
    submit_job,
)
from core.jobs.queue import TRIAL
from core.services.thresholds import submit_thresholds
from core.services.trainings import (
    PROJECT,
    check_bases,
    check_name,
    find_config,
    find_experiment,
    place_dataset,
    queue_training,
)
from core.services.trials import USABLE, add_trial, lock_study
from core.states import TrialState
from core.store.cursor import Page, cut_page, decode_cursor
from core.store.tables import Job, JobUnit, Study, Trial

CONFIGS = PROJECT / "configs" / "tuning"
PLOTS = ("history", "importances", "parallel_coordinates", "pareto_front", "slice")


MOST_BEST = 100  # points of a Pareto front that are shown
LEADERS = 20  # complete trials that are shown, the best first
MOST_REASONS = 10  # of failed trials


@dataclass(frozen=True)
class StudyRow:
    """A study with columns joined to it."""

    study: Study
    state: str | None  # of its last job
    counts: dict[str, int]  # trials by state


@dataclass(frozen=True)
class Findings:
    """What the trials of a study have found, cut to a bounded size."""

    best: Sequence[Trial]  # the best one, or up to `MOST_BEST` of the Pareto front
    front_size: int  # of the whole Pareto front; 1 for one objective, 0 while no trial is complete
    leaders: Sequence[Trial]  # the best complete ones, best first; none where there are several objectives
    reasons: Sequence[tuple[str, str]]  # code and detail of failures, each once


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
    request = Request(owner, idempotency_key, digest(JobKind.TUNING, {"study": wanted}))
    if (replay := find_replay(session, request)) is not None:
        return replay
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
        "params": {"study": config.model_dump(mode="json")},
        "library_id": library.id if library else None,
        "total": planned_trials(config),
    }
    submission = submit_job(session, job, {"kind": "trial", "queue": TRIAL}, request)
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
    experiment = find_experiment(config.experiment)
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
    request = Request(owner, idempotency_key, digest("resume", str(study_id), n_trials))
    if (replay := find_replay(session, request)) is not None:
        return replay
    config = TuningConfig.model_validate(get_study(session, study_id).study.config)
    _check_bases(session, config)
    dataset = best_experiment(config, {}).dataset
    _, library = place_dataset(session, dataset, data_dir, trusted=trusted)
    study = lock_study(session, study_id)
    job = {
        "kind": JobKind.TUNING,
        "params": {"resume": str(study.id), "n_trials": n_trials},
        "total": _left(session, study, config, n_trials),
        "library_id": library.id if library else None,
    }
    submission = submit_job(session, job, {"kind": "trial", "queue": TRIAL}, request)
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
    request = Request(owner, idempotency_key, digest("train-best", str(study_id), number))
    if (replay := find_replay(session, request)) is not None:
        return replay
    row = get_study(session, study_id)
    config = TuningConfig.model_validate(row.study.config)
    chosen = find_leaders(session, study_id, config, 1)
    if number is not None:
        trials = list_trials(session, study_id, [number])
        chosen = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    elif len(config.objectives) > 1:
        chosen = find_front(session, study_id, config)[0]
    if not chosen:
        raise NoBestTrial
    experiment = best_experiment(config, chosen[0].params or {})
    return queue_training(session, experiment, request, data_dir=data_dir, trusted=trusted, study_id=study_id)


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


def get_studies(session: Session, study_ids: Sequence[UUID]) -> dict[UUID, StudyRow]:
    """Those of these studies that exist, by id."""
    studies = session.scalars(select(Study).where(Study.id.in_(study_ids))).all() if study_ids else []
    return {row.study.id: row for row in _with_jobs(session, studies)}


def _with_jobs(session: Session, studies: Sequence[Study]) -> list[StudyRow]:
    if not studies:
        return []
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


def list_trials(session: Session, study_id: UUID, numbers: Sequence[int] | None = None) -> list[Trial]:
    """All, or those of these numbers, in their order; none of a study that has been deleted meanwhile."""
    query = (
        select(Trial)
        .join(Study, Study.id == Trial.study_id)
        .where(Trial.study_id == study_id)
        .order_by(Trial.number)
    )
    if numbers is not None:
        query = query.where(Trial.number.in_(numbers))
    return list(session.scalars(query))


def list_trial_page(session: Session, study_id: UUID, cursor: str | None, limit: int) -> Page[Trial]:
    """In the order of their numbers."""
    query = select(Trial).where(Trial.study_id == study_id).order_by(Trial.number).limit(limit + 1)
    if cursor is not None:
        (after,) = decode_cursor(cursor, int)
        query = query.where(cast(Trial.number, BigInteger) > after)
    return cut_page(session.scalars(query).all(), limit, lambda trial: (trial.number,))


def find_trials(session: Session, numbers: Mapping[UUID, Sequence[int]]) -> dict[UUID, list[Trial]]:
    """Trials of several studies by their numbers."""
    wanted = [(study_id, number) for study_id, of_study in numbers.items() for number in of_study]
    found: dict[UUID, list[Trial]] = {study_id: [] for study_id in numbers}
    if wanted:
        query = select(Trial).where(tuple_(Trial.study_id, Trial.number).in_(wanted)).order_by(Trial.number)
        for trial in session.scalars(query):
            found[trial.study_id].append(trial)
    return found


def find_findings(session: Session, study_id: UUID, config: TuningConfig) -> Findings:
    if len(config.objectives) == 1:
        leaders = find_leaders(session, study_id, config, LEADERS)
        best, size = leaders[:1], len(leaders[:1])
    else:
        leaders = []
        best, size = find_front(session, study_id, config)
    reasons = (
        select(Trial.error_code, func.coalesce(Trial.error_detail, ""))
        .where(Trial.study_id == study_id, Trial.error_code.is_not(None))
        .group_by(Trial.error_code, Trial.error_detail)
        .order_by(func.min(Trial.number))
        .limit(MOST_REASONS)
    )
    return Findings(best, size, leaders, [(code or "", detail) for code, detail in session.execute(reasons)])


def find_leaders(session: Session, study_id: UUID, config: TuningConfig, limit: int) -> list[Trial]:
    """The best complete trials by the first objective, the best first and of equals the first."""
    value: ColumnElement[Any] = Trial.values[1]  # Postgres counts from 1
    order = value.desc() if config.objectives[0].maximizes else value.asc()
    query = select(Trial).where(*_complete(study_id)).order_by(order, Trial.number).limit(limit)
    return list(session.scalars(query))


def find_front(session: Session, study_id: UUID, config: TuningConfig) -> tuple[list[Trial], int]:
    """The first `MOST_BEST` trials of the Pareto front, and how many are on it."""
    values = select(Trial.number, Trial.values).where(*_complete(study_id)).order_by(Trial.number)
    rows = [(number, value or ()) for number, value in session.execute(values)]
    front = pareto_front([value for _, value in rows], [each.maximizes for each in config.objectives])
    numbers = [rows[place][0] for place in front]
    return find_trials(session, {study_id: numbers[:MOST_BEST]})[study_id], len(numbers)


def _complete(study_id: UUID) -> tuple[ColumnElement[bool], ...]:
    return Trial.study_id == study_id, Trial.state == TrialState.COMPLETE, Trial.values.is_not(None)


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
