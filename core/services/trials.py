"""The trials of a study, one unit each: each that ends schedules the next, so that a few run at a time."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import ColumnElement, exists, func, select, update
from sqlalchemy.orm import Session

from core.config.tuning import TuningConfig
from core.errors import StudyNotFound
from core.services.queues import TRIAL
from core.states import OPEN_TRIAL_STATES, JobState, TrialState
from core.store.tables import Job, JobUnit, Study, Trial

USABLE = (TrialState.COMPLETE, TrialState.PRUNED)  # trials from which the sampler learns


@dataclass(frozen=True)
class TrialEnding:
    """How a trial ended."""

    state: TrialState
    values: Sequence[float] | None = None
    error_code: str | None = None
    error_detail: str | None = None  # also of a pruned one


def lock_study(session: Session, study_id: UUID) -> Study:
    """Nobody else adds, starts or ends a trial of it until the transaction ends."""
    study = session.get(Study, study_id, with_for_update=True, populate_existing=True)
    if study is None:
        raise StudyNotFound
    return study


def trial_of(session: Session, unit_id: int) -> Trial:
    return session.scalars(
        select(Trial).where(Trial.unit_id == unit_id).execution_options(populate_existing=True)
    ).one()


def add_trial(session: Session, study: Study, job_id: UUID, unit_id: int | None = None) -> None:
    """Add a trial with its unit, or one for an existing unit. The caller holds the study's lock."""
    number = session.scalar(select(func.max(Trial.number) + 1).where(Trial.study_id == study.id)) or 0
    unit_id = _add_unit(session, job_id, "trial", {}) if unit_id is None else unit_id
    session.add(Trial(study_id=study.id, job_id=job_id, unit_id=unit_id, number=number))
    session.flush()


def start_trial(session: Session, trial: Trial, params: dict[str, Any]) -> None:
    """Write the parameters of a trial, before anything is trained with them."""
    trial.params, trial.state, trial.started_at = params, TrialState.RUNNING, func.now()
    session.flush()


def started_numbers(session: Session, study_id: UUID) -> set[int]:
    """The numbers of the trials that have parameters."""
    return set(
        session.scalars(select(Trial.number).where(Trial.study_id == study_id, Trial.started_at.is_not(None)))
    )


def end_trial(session: Session, unit_id: int, ending: TrialEnding) -> None:
    """End the trial of a unit and schedule what comes after it; one that has ended stays as it is."""
    study = lock_study(session, trial_of(session, unit_id).study_id)
    trial = trial_of(session, unit_id)
    if trial.state not in OPEN_TRIAL_STATES:
        return
    trial.state, trial.finished_at = ending.state, func.clock_timestamp()
    trial.values = None if ending.values is None else list(ending.values)
    trial.error_code, trial.error_detail = ending.error_code, ending.error_detail
    session.flush()
    outcome = {"done": int(ending.state in USABLE), "failed": int(ending.state == TrialState.FAILED)}
    session.execute(update(JobUnit).where(JobUnit.id == unit_id).values(**outcome))
    if trial.job_id is not None:
        _schedule_next(session, study, trial.job_id)


def _schedule_next(session: Session, study: Study, job_id: UUID) -> None:
    """Add the next trial, or after the last one the unit that concludes the study.

    The job's total comes down to the trials that were not cancelled before they started.
    """
    of_job = Trial.job_id == job_id
    job = session.get_one(Job, job_id, with_for_update=True, populate_existing=True)
    count = session.scalar(select(func.count()).where(of_job, Trial.state != TrialState.CANCELLED)) or 0
    if job.state not in (JobState.QUEUED, JobState.RUNNING):
        return
    config = _read_config(study)
    if config is not None and count < job.total and not should_stop(session, config, job):
        add_trial(session, study, job_id)
        return
    job.total = count
    is_open = exists().where(of_job, Trial.state.in_(OPEN_TRIAL_STATES))
    if not session.scalar(select(is_open)):
        _add_unit(session, job_id, "study", {"study_id": str(study.id)})
    session.flush()


def _read_config(study: Study) -> TuningConfig | None:
    """None for a study of another version that this one cannot read: it gets no further trial."""
    try:
        return TuningConfig.model_validate(study.config)
    except ValidationError:
        return None


def should_stop(session: Session, config: TuningConfig, job: Job) -> bool:
    """Whether the time budget is used up or the target reached; at least one trial is always started."""
    started = exists().where(Trial.job_id == job.id, Trial.started_at.is_not(None))
    if config.time_budget_s is not None and job.started_at is not None and session.scalar(select(started)):
        passed_s = session.scalar(select(func.extract("epoch", func.clock_timestamp() - job.started_at)))
        if float(passed_s or 0) >= config.time_budget_s:
            return True
    if config.target is None:
        return False
    value: ColumnElement[Any] = Trial.values[1]  # of the first and only objective; Postgres counts from 1
    good = value >= config.target if config.objectives[0].maximizes else value <= config.target
    reached = exists().where(Trial.job_id == job.id, Trial.state == TrialState.COMPLETE, good)
    return bool(session.scalar(select(reached)))


def _add_unit(session: Session, job_id: UUID, kind: str, payload: dict[str, Any]) -> int:
    seq = 1 + (session.scalar(select(func.max(JobUnit.seq)).where(JobUnit.job_id == job_id)) or 0)
    unit = JobUnit(job_id=job_id, seq=seq, kind=kind, queue=TRIAL, payload=payload)
    session.add(unit)
    session.flush()
    return unit.id


def close_trials(session: Session, job_ids: Collection[UUID]) -> None:
    """Cancel what is still open in jobs that have ended.

    Points of a grid that cancelled trials had are tried when the study is resumed.
    """
    if not job_ids:
        return
    still_open = (Trial.job_id.in_(job_ids), Trial.state.in_(OPEN_TRIAL_STATES))
    session.execute(
        update(Trial).where(*still_open).values(state=TrialState.CANCELLED, finished_at=func.now())
    )
    for job in session.scalars(select(Job).where(Job.id.in_(job_ids), Job.state == JobState.FAILED)):
        _explain_failure(session, job)


def _explain_failure(session: Session, job: Job) -> None:
    failed = select(Trial).where(Trial.job_id == job.id, Trial.state == TrialState.FAILED)
    first = session.scalars(failed.order_by(Trial.number).limit(1)).one_or_none()
    if first is not None and job.error_code is None:
        job.error_code = first.error_code
        job.error_detail = f"Every trial failed; the first one: {first.error_detail}"
        session.flush()
