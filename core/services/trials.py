"""The trials of a study, one unit each: every one that ends adds the next, so that a few run at a time.

A trial ends here and in Optuna's own tables, and no kill leaves it running in one of them: what cannot be
told through Optuna in time is written into its schema within our own transaction.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import ColumnElement, exists, func, select, text, update
from sqlalchemy.orm import Session

from core.config.tuning import TuningConfig
from core.errors import StudyNotFound
from core.services.queues import TRIAL
from core.services.told_trials import find_told, take_over_told
from core.states import OPEN_TRIAL_STATES, JobState, TrialState
from core.store.tables import Job, JobUnit, Study, Trial

USABLE = (TrialState.COMPLETE, TrialState.PRUNED)  # trials that have told something
_HAS_OPTUNA = text("SELECT to_regclass('optuna.trials') IS NOT NULL")
_FAIL_IN_OPTUNA = """
    UPDATE optuna.trials AS t SET state = 'FAIL', datetime_complete = now()
    FROM optuna.studies AS s
    WHERE t.study_id = s.study_id AND t.state = 'RUNNING' AND s.study_name = ANY (:names)
"""


_GIVE_POINT_BACK = """
    DELETE FROM optuna.trial_system_attributes AS a
    USING optuna.trials AS t, optuna.studies AS s
    WHERE a.trial_id = t.trial_id AND a.key = 'grid_id' AND t.study_id = s.study_id
    AND t.state = 'RUNNING' AND s.study_name = ANY (:names)
"""


@dataclass(frozen=True)
class TrialEnding:
    """How a trial ended."""

    state: TrialState
    values: Sequence[float] | None = None
    curve: Sequence[Mapping[str, Any]] | None = None  # None: leave what is known of it
    error_code: str | None = None
    error_detail: str | None = None


def lock_study(session: Session, study_id: UUID) -> Study:
    """Nobody else adds, asks for or ends a trial of it until the transaction ends."""
    study = session.get(Study, study_id, with_for_update=True, populate_existing=True)
    if study is None:
        raise StudyNotFound
    return study


def trial_of(session: Session, unit_id: int) -> Trial:
    return session.scalars(
        select(Trial).where(Trial.unit_id == unit_id).execution_options(populate_existing=True)
    ).one()


def add_trial(session: Session, study: Study, job_id: UUID, unit_id: int | None = None) -> None:
    """Add a trial with its unit, or one for a unit that is there. The caller holds the study."""
    number = session.scalar(select(func.max(Trial.number) + 1).where(Trial.study_id == study.id)) or 0
    unit_id = _add_unit(session, job_id, "trial", {}) if unit_id is None else unit_id
    session.add(Trial(study_id=study.id, job_id=job_id, unit_id=unit_id, number=number))
    session.flush()


def start_trial(session: Session, trial: Trial, optuna_number: int, params: dict[str, Any]) -> None:
    """Write down what was asked for, before anything is trained with it."""
    trial.optuna_number, trial.params = optuna_number, params
    trial.state, trial.started_at = TrialState.RUNNING, func.now()
    session.flush()


def known_optuna_numbers(session: Session, study_id: UUID) -> set[int]:
    numbers = select(Trial.optuna_number).where(Trial.study_id == study_id, Trial.optuna_number.is_not(None))
    return {number for number in session.scalars(numbers) if number is not None}


def save_curve(session: Session, unit_id: int, curve: Sequence[Mapping[str, Any]]) -> None:
    """Write the epochs reported so far, if there are new ones: then its failures so far are forgotten.

    A resumed trial reports old epochs again, and those show nothing.
    """
    grown = (
        update(Trial)
        .where(Trial.unit_id == unit_id, func.jsonb_array_length(Trial.curve) < len(curve))
        .values(curve=list(curve))
        .returning(Trial.id)
    )
    if session.scalar(grown) is not None:
        session.execute(update(JobUnit).where(JobUnit.id == unit_id).values(attempt=1, crash_count=0))


def end_trial(session: Session, unit_id: int, ending: TrialEnding) -> None:
    """End the trial of a unit and add what comes after it; one that has ended stays as it is.

    A trial that Optuna was told the end of has ended so, whatever became of the worker that told it.
    """
    study = lock_study(session, trial_of(session, unit_id).study_id)
    trial = trial_of(session, unit_id)
    if trial.state not in OPEN_TRIAL_STATES:
        return
    if ending.state not in USABLE and trial.optuna_number is not None:
        _fail_in_optuna(session, [study.id], trial.optuna_number)
        told = find_told(session, study.id, trial.optuna_number)
        ending = TrialEnding(*told, curve=ending.curve) if told else ending
    trial.state, trial.finished_at = ending.state, func.clock_timestamp()
    trial.values = None if ending.values is None else list(ending.values)
    trial.error_code, trial.error_detail = ending.error_code, ending.error_detail
    if ending.curve is not None:
        trial.curve = list(ending.curve)
    session.flush()
    outcome = {"done": int(ending.state in USABLE), "failed": int(ending.state == TrialState.FAILED)}
    session.execute(update(JobUnit).where(JobUnit.id == unit_id).values(**outcome))
    if trial.job_id is not None:
        _go_on(session, study, trial.job_id)


def _go_on(session: Session, study: Study, job_id: UUID) -> None:
    """Add the next trial, or after the last one the unit that sums the study up.

    The job's total comes down to the trials that were not cancelled before they started.
    """
    of_job = Trial.job_id == job_id
    job = session.get_one(Job, job_id, with_for_update=True, populate_existing=True)
    count = session.scalar(select(func.count()).where(of_job, Trial.state != TrialState.CANCELLED)) or 0
    if job.state not in (JobState.QUEUED, JobState.RUNNING):
        return
    config = _read_config(study)
    if config is not None and count < job.total and not is_enough(session, config, job):
        add_trial(session, study, job_id)
        return
    job.total = count
    is_open = exists().where(of_job, Trial.state.in_(OPEN_TRIAL_STATES))
    if not session.scalar(select(is_open)):
        _add_unit(session, job_id, "study", {"study_id": str(study.id)})
    session.flush()


def _read_config(study: Study) -> TuningConfig | None:
    """None for a study that another version has stored and this one refuses: it gets no further trial."""
    try:
        return TuningConfig.model_validate(study.config)
    except ValidationError:
        return None


def is_enough(session: Session, config: TuningConfig, job: Job) -> bool:
    """Whether the time is over or the target reached; however short the time, one trial is started."""
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
    """What is still open in jobs that have ended is cancelled, and runs in Optuna no longer.

    The points of a grid that it had are tried when the study is resumed.
    """
    if not job_ids:
        return
    take_over_told(session, job_ids)
    of_jobs = Trial.job_id.in_(job_ids)
    session.execute(
        update(Trial)
        .where(of_jobs, Trial.state.in_(OPEN_TRIAL_STATES))
        .values(state=TrialState.CANCELLED, finished_at=func.now())
    )
    studies = session.scalars(select(Trial.study_id).where(of_jobs).distinct()).all()
    if session.scalar(_HAS_OPTUNA):
        session.execute(text(_GIVE_POINT_BACK), {"names": [str(study_id) for study_id in studies]})
    _fail_in_optuna(session, studies)
    for job in session.scalars(select(Job).where(Job.id.in_(job_ids), Job.state == JobState.FAILED)):
        _explain_failure(session, job)


def _explain_failure(session: Session, job: Job) -> None:
    failed = select(Trial).where(Trial.job_id == job.id, Trial.state == TrialState.FAILED)
    first = session.scalars(failed.order_by(Trial.number).limit(1)).one_or_none()
    if first is not None and job.error_code is None:
        job.error_code = first.error_code
        job.error_detail = f"Every trial failed; the first one: {first.error_detail}"
        session.flush()


def _fail_in_optuna(session: Session, study_ids: Collection[UUID], number: int | None = None) -> None:
    """End what runs there: one trial of a study, or all of several studies."""
    if not session.scalar(_HAS_OPTUNA):
        return
    statement, values = _FAIL_IN_OPTUNA, {"names": [str(study_id) for study_id in study_ids]}
    if number is None:
        session.execute(text(statement), values)
    else:
        session.execute(text(statement + " AND t.number = :number"), values | {"number": number})
