"""How units and jobs end: done, cancelled, handed back, tried again, given up."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Update, and_, case, false, func, or_, select, update
from sqlalchemy.orm import Session

from core.errors import GaveUp
from core.jobs.claims import Claim, hold_lease
from core.jobs.counters import items_in
from core.jobs.jobs import OPEN_UNIT_STATES, notify_dispatcher
from core.jobs.kinds import followers, job_specs, unit_spec
from core.states import ItemState, JobState, UnitState
from core.store.clock import seconds
from core.store.tables import Job, JobItem, JobUnit

MAX_ATTEMPTS = 5  # consecutive runs of a unit that ended in an error
MAX_BACKOFF_S = 60.0


def finish_unit(session: Session, claim: Claim) -> None:
    hold_lease(session, claim)
    _end_unit(session, claim.unit_id, UnitState.DONE)


def cancel_unit(session: Session, claim: Claim) -> None:
    hold_lease(session, claim)
    _end_unit(session, claim.unit_id, UnitState.CANCELLED)


def release_unit(session: Session, claim: Claim, delay_s: float = 0) -> None:
    """Hand an unfinished unit back (drain, time is up, no disk space); that is no failed attempt."""
    hold_lease(session, claim)
    requeue_unit(session, claim.unit_id, delay_s=delay_s, attempt=JobUnit.attempt - 1)


def fail_unit(
    session: Session,
    claim: Claim,
    code: str,
    detail: str,
    *,
    cause: str | None = None,
    permanent: bool = False,
) -> None:
    """Try again later, or give up: at once if the error is permanent, otherwise after MAX_ATTEMPTS.

    `detail` is for the user, `cause` for the operator.
    """
    hold_lease(session, claim)
    attempt = session.scalars(select(JobUnit.attempt).where(JobUnit.id == claim.unit_id)).one()
    if permanent or attempt >= MAX_ATTEMPTS:
        give_up_unit(session, claim.unit_id, code, detail, cause)
    else:
        requeue_unit(session, claim.unit_id, delay_s=backoff_s(attempt), last_error=cause or detail)


def give_up_unit(session: Session, unit_id: int, code: str, detail: str, cause: str | None = None) -> None:
    """Fail a unit and its job, or do what its kind does instead.

    Open items get an outcome too, so that the counters still equal the rows.
    """
    error = update(JobUnit).where(JobUnit.id == unit_id).values(last_error=cause or detail)
    unit = session.execute(error.returning(JobUnit.kind, JobUnit.job_id)).one()
    spec = unit_spec(unit.kind)
    if spec.on_give_up is not None:
        spec.on_give_up(session, unit_id, code, detail)
        notify_dispatcher(session)
        _end_unit(session, unit_id, UnitState.DONE)
        return
    session.execute(
        update(JobItem)
        .where(JobItem.unit_id == unit_id, JobItem.state == ItemState.PENDING)
        .values(state=ItemState.FAILED, error_code=GaveUp().code, error_detail=detail)
    )
    failed = 1 if spec.is_one_item else items_in(ItemState.FAILED)
    session.execute(update(JobUnit).where(JobUnit.id == unit_id).values(failed=failed))
    _cancel_followers(session, unit.job_id, unit.kind)
    session.execute(update(Job).where(Job.id == unit.job_id).values(error_code=code, error_detail=detail))
    _end_unit(session, unit_id, UnitState.FAILED)


def _cancel_followers(session: Session, job_id: UUID, kind: str) -> None:
    """Cancel the units of a job that wait for one of this kind, which has failed."""
    waiting = update(JobUnit).where(
        JobUnit.job_id == job_id, JobUnit.kind.in_(followers(kind)), JobUnit.state == UnitState.READY
    )
    session.execute(waiting.values(state=UnitState.CANCELLED, finished_at=func.now()))


def requeue_unit(session: Session, unit_id: int, *, delay_s: float, **values: Any) -> None:
    """Make a unit ready again after a delay."""
    session.execute(
        update(JobUnit)
        .where(JobUnit.id == unit_id)
        .values(
            state=UnitState.READY,
            run_after=func.clock_timestamp() + seconds(delay_s),
            claim_id=None,
            claimed_by=None,
            lease_until=None,
            current_pos=None,
            **values,
        )
    )
    notify_dispatcher(session)


def backoff_s(failures: int) -> float:
    return min(2.0**failures, MAX_BACKOFF_S)


def _end_unit(session: Session, unit_id: int, state: UnitState) -> None:
    job_id, kind = session.execute(
        update(JobUnit)
        .where(JobUnit.id == unit_id)
        .values(state=state, finished_at=func.now(), claim_id=None, claimed_by=None, lease_until=None)
        .returning(JobUnit.job_id, JobUnit.kind)
    ).one()
    if followers(kind):
        notify_dispatcher(session)
    _finish_job_if_complete(session, job_id)


def _finish_job_if_complete(session: Session, job_id: UUID) -> None:
    """End a job whose last unit has ended. The lock makes two last units see each other.

    It is the one that the trigger of `jobs.ended` has taken: a stronger one would wait for a planner that
    adds units, and the planner for us.
    """
    session.execute(select(Job.id).where(Job.id == job_id).with_for_update(key_share=True))
    _finish(session, _finishing().where(Job.id == job_id))


def finish_complete_jobs(session: Session) -> None:
    """End every job without an open unit: a cancelled one whose units nobody had claimed, for example."""
    _finish(session, _finishing())


def _finish(session: Session, finishing: Update) -> None:
    ended = session.execute(finishing.returning(Job.id, Job.kind)).all()
    for spec in job_specs():
        job_ids = [job_id for job_id, kind in ended if kind == spec.name]
        if job_ids and spec.on_end is not None:
            spec.on_end(session, job_ids)


def _finishing() -> Update:
    units = select(JobUnit.id).where(JobUnit.job_id == Job.id).correlate(Job)
    is_open = units.where(JobUnit.state.in_(OPEN_UNIT_STATES)).exists()
    has_failed = units.where(JobUnit.state == UnitState.FAILED).exists()
    ended_state = case(
        (Job.state == JobState.CANCELLING, JobState.CANCELLED),
        (has_failed | _failed_by_kind(), JobState.FAILED),
        else_=JobState.SUCCEEDED,
    )
    return (
        update(Job)
        # A queued job cannot succeed: one without units must not stop the round for all others.
        .where(Job.state.in_((JobState.RUNNING, JobState.CANCELLING)), ~is_open)
        .values(state=ended_state, finished_at=func.now())
    )


def _failed_by_kind() -> ColumnElement[bool]:
    """Whether a job counts as failed by what its kind says, although none of its units failed."""
    conditions = [
        and_(Job.kind == spec.name, spec.has_failed()) for spec in job_specs() if spec.has_failed is not None
    ]
    return or_(false(), *conditions)
