"""The life of a unit: the conditional statements that make every job promise true.

Whoever writes for a unit must hold its live lease under the `claim_id` of its own claim; the row lock that
`hold_lease` takes makes a late writer and the reaper take turns, so exactly one of them wins.
"""

import logging
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, and_, case, cast, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from core.errors import Crashed, GaveUp, LeaseLost
from core.jobs.jobs import finish_job_if_complete, notify_dispatcher
from core.services.trials import TrialEnding, end_trial
from core.states import ItemState, JobState, TrialState, UnitState
from core.store.clock import seconds
from core.store.tables import Job, JobItem, JobUnit

log = logging.getLogger(__name__)

# Of consecutive failures: every result that is written resets them, except those of an item.
MAX_ATTEMPTS = 5  # runs of a unit that ended in an error
# A worker that vanished counts 1, as it may have been killed from outside; SELF_CRASH_PENALTY is added when
# it is known to have died of its own code.
MAX_CRASHES = 10
MAX_ITEM_CRASHES = 4  # of the item that the worker was at
SELF_CRASH_PENALTY = 1
MAX_BACKOFF_S = 60.0


@dataclass(frozen=True)
class Claim:
    """One worker's right to work on a unit."""

    claim_id: UUID
    unit_id: int
    job_id: UUID
    kind: str
    payload: dict[str, Any]
    params: dict[str, Any]
    library_id: UUID | None
    model_id: int | None
    crash_count: int  # 0: the worker before, if there was one, did not vanish
    lease_s: float


def claim_unit(
    session: Session, unit_id: int, claimed_by: str, lease_s: float, kind: str | None = None
) -> Claim | None:
    """Take a unit under a fresh lease; None when it is not to be had (a duplicate or late message).

    Nor one of another `kind` than the message says, which must be forged.
    """
    claim_id = uuid4()
    # A duplicate message must not cut a back-off short.
    is_due = or_(
        JobUnit.state == UnitState.DISPATCHED,
        and_(JobUnit.state == UnitState.READY, JobUnit.run_after <= func.clock_timestamp()),
    )
    is_open = exists().where(Job.id == JobUnit.job_id, Job.state.in_((JobState.QUEUED, JobState.RUNNING)))
    is_meant = JobUnit.id == unit_id if kind is None else and_(JobUnit.id == unit_id, JobUnit.kind == kind)
    unit = session.execute(
        update(JobUnit)
        .where(is_meant, is_due, is_open)
        .values(
            state=UnitState.RUNNING,
            claim_id=claim_id,
            claimed_by=claimed_by,
            lease_until=func.clock_timestamp() + seconds(lease_s),
            attempt=JobUnit.attempt + 1,
            started_at=func.coalesce(JobUnit.started_at, func.now()),
            current_pos=None,
            activity=None,
        )
        .returning(JobUnit.job_id, JobUnit.kind, JobUnit.payload, JobUnit.crash_count)
    ).one_or_none()
    if unit is None:
        return None
    session.execute(
        update(Job)
        .where(Job.id == unit.job_id, Job.state == JobState.QUEUED)
        .values(state=JobState.RUNNING, started_at=func.now())
    )
    job = session.execute(select(Job.params, Job.library_id, Job.model_id).where(Job.id == unit.job_id)).one()
    return Claim(
        claim_id,
        unit_id,
        unit.job_id,
        unit.kind,
        unit.payload,
        job.params,
        job.library_id,
        job.model_id,
        unit.crash_count,
        lease_s,
    )


def _held_by(claim: Claim) -> ColumnElement[bool]:
    return and_(
        JobUnit.id == claim.unit_id,
        JobUnit.claim_id == claim.claim_id,
        JobUnit.state == UnitState.RUNNING,
        JobUnit.lease_until > func.clock_timestamp(),
    )


def hold_lease(session: Session, claim: Claim) -> None:
    """Lock the unit until the transaction ends, or raise LeaseLost. Every write for a unit starts here."""
    if session.scalar(select(JobUnit.id).where(_held_by(claim)).with_for_update()) is None:
        raise LeaseLost


def renew_lease(session: Session, claim: Claim) -> None:
    """Say that the work moves on."""
    renewed = session.execute(
        update(JobUnit)
        .where(_held_by(claim))
        .values(lease_until=func.clock_timestamp() + seconds(claim.lease_s))
        .returning(JobUnit.id)
    )
    if renewed.one_or_none() is None:
        raise LeaseLost


def is_cancelling(session: Session, claim: Claim) -> bool:
    return session.scalar(select(Job.state).where(Job.id == claim.job_id)) == JobState.CANCELLING


def mark_current(session: Session, claim: Claim, pos: int) -> None:
    """Name the item the worker is at, so that a crash can be blamed on it."""
    session.execute(update(JobUnit).where(_held_by(claim)).values(current_pos=pos))


def count_items(session: Session, claim: Claim) -> None:
    """Bring a unit's counters up to its items; they are absolute, so a second run counts nothing twice."""
    session.execute(
        update(JobUnit)
        .where(JobUnit.id == claim.unit_id)
        .values(
            done=_items_in(ItemState.DONE),
            failed=_items_in(ItemState.FAILED),
            skipped=_items_in(ItemState.SKIPPED),
            attempt=1,
            crash_count=0,
            lease_until=func.clock_timestamp() + seconds(claim.lease_s),
        )
    )


def count_unit_itself(session: Session, claim: Claim) -> None:
    """For a unit without items: it is the one thing of its job that is to be done."""
    session.execute(update(JobUnit).where(JobUnit.id == claim.unit_id).values(done=1))


def save_progress(session: Session, claim: Claim, **payload: Any) -> None:
    """Add to a unit's payload where it goes on when it is run again; its failures so far are forgotten."""
    session.execute(
        update(JobUnit)
        .where(JobUnit.id == claim.unit_id)
        .values(
            payload=JobUnit.payload.op("||")(cast(payload, JSONB)),
            attempt=1,
            crash_count=0,
            lease_until=func.clock_timestamp() + seconds(claim.lease_s),
        )
    )


def save_activity(session: Session, claim: Claim, activity: dict[str, Any]) -> None:
    """What the unit is doing: name, done, total."""
    session.execute(
        update(JobUnit)
        .where(JobUnit.id == claim.unit_id)
        .values(activity=activity, lease_until=func.clock_timestamp() + seconds(claim.lease_s))
    )


def save_timings(session: Session, claim: Claim, timings: dict[str, float]) -> None:
    """What the stages of the work took, in seconds of this run of the unit."""
    session.execute(update(JobUnit).where(JobUnit.id == claim.unit_id).values(timings=timings))


def _items_in(state: ItemState) -> Any:
    return (
        select(func.count())
        .where(JobItem.unit_id == JobUnit.id, JobItem.state == state)
        .correlate(JobUnit)
        .scalar_subquery()
    )


def finish_unit(session: Session, claim: Claim) -> None:
    hold_lease(session, claim)
    _end(session, claim.unit_id, UnitState.DONE)


def cancel_unit(session: Session, claim: Claim) -> None:
    hold_lease(session, claim)
    _end(session, claim.unit_id, UnitState.CANCELLED)


def release_unit(session: Session, claim: Claim) -> None:
    """Hand an unfinished unit back (drain, time is up); that is no failed attempt."""
    hold_lease(session, claim)
    _make_ready(session, claim.unit_id, delay_s=0, attempt=JobUnit.attempt - 1)


def fail_unit(
    session: Session,
    claim: Claim,
    code: str,
    detail: str,
    *,
    cause: str | None = None,
    permanent: bool = False,
) -> None:
    """Try again later, or give up: for good reasons at once, otherwise after MAX_ATTEMPTS.

    `detail` is for the user, `cause` for the operator.
    """
    hold_lease(session, claim)
    attempt = session.scalars(select(JobUnit.attempt).where(JobUnit.id == claim.unit_id)).one()
    if permanent or attempt >= MAX_ATTEMPTS:
        _give_up(session, claim.unit_id, code, detail, cause)
    else:
        _make_ready(session, claim.unit_id, delay_s=_backoff_s(attempt), last_error=cause or detail)


def expire_lease(session: Session, claimed_by: str, *, crashed: bool = False) -> None:
    """Let the reaper take a unit whose worker process is known to be dead; `crashed`: by its own doing."""
    unit = session.execute(
        update(JobUnit)
        .where(JobUnit.claimed_by == claimed_by, JobUnit.state == UnitState.RUNNING)
        .values(
            lease_until=func.clock_timestamp(),
            crash_count=JobUnit.crash_count + (SELF_CRASH_PENALTY if crashed else 0),
        )
        .returning(JobUnit.id, JobUnit.current_pos)
    ).one_or_none()
    if crashed and unit is not None:
        session.execute(
            update(JobItem)
            .where(JobItem.unit_id == unit.id, JobItem.pos == unit.current_pos)
            .values(crash_count=JobItem.crash_count + SELF_CRASH_PENALTY)
        )


def reap_expired(session: Session, limit: int = 200) -> int:
    """Give units whose lease ran out to other workers; any number of reapers may run at a time."""
    expired = session.execute(
        select(JobUnit.id, JobUnit.current_pos, JobUnit.crash_count)
        .where(JobUnit.state == UnitState.RUNNING, JobUnit.lease_until < func.clock_timestamp())
        # Two reapers that end the same jobs must not lock them crosswise.
        .order_by(JobUnit.job_id, JobUnit.id)
        .with_for_update(skip_locked=True)
        .limit(limit)
    ).all()
    return sum(_reap(session, *unit) for unit in expired)


def _reap(session: Session, unit_id: int, current_pos: int | None, crash_count: int) -> bool:
    """False for a unit that cannot be taken back now: it is tried again, and holds up no other."""
    crashes = crash_count + 1
    try:
        with session.begin_nested():
            if current_pos is not None and _quarantine(session, unit_id, current_pos):
                crashes = 0
            if crashes >= MAX_CRASHES:
                detail = "The worker died again and again while at this unit."
                _give_up(session, unit_id, GaveUp().code, detail)
            else:
                delay_s = _backoff_s(crashes - SELF_CRASH_PENALTY - 1) if crashes > 1 else 0
                values = {"crash_count": crashes, "attempt": JobUnit.attempt - 1}
                _make_ready(session, unit_id, delay_s=delay_s, **values)
    except Exception:
        log.exception("unit %s cannot be taken back from its dead worker", unit_id)
        return False
    return True


def cancel_waiting(session: Session, limit: int = 5000) -> int:
    """End the units of cancelled jobs that nobody works on."""
    waiting = (
        select(JobUnit.id)
        .join(Job, Job.id == JobUnit.job_id)
        .where(Job.state == JobState.CANCELLING, JobUnit.state.in_((UnitState.READY, UnitState.DISPATCHED)))
        .with_for_update(of=JobUnit, skip_locked=True)
        .limit(limit)
    )
    ended = session.execute(
        update(JobUnit)
        .where(JobUnit.id.in_(waiting))
        .values(state=UnitState.CANCELLED, finished_at=func.now())
        .returning(JobUnit.id)
    ).all()
    return len(ended)


def _end(session: Session, unit_id: int, state: UnitState) -> None:
    job_id = session.scalars(
        update(JobUnit)
        .where(JobUnit.id == unit_id)
        .values(state=state, finished_at=func.now(), claim_id=None, claimed_by=None, lease_until=None)
        .returning(JobUnit.job_id)
    ).one()
    finish_job_if_complete(session, job_id)


def _make_ready(session: Session, unit_id: int, *, delay_s: float, **values: Any) -> None:
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


def _give_up(session: Session, unit_id: int, code: str, detail: str, cause: str | None = None) -> None:
    """Fail a unit; its open items get an outcome too, so that the counters still equal the rows.

    A trial is itself an outcome of its study: it fails, and the study goes on.
    """
    if session.scalar(select(JobUnit.kind).where(JobUnit.id == unit_id)) == "trial":
        session.execute(update(JobUnit).where(JobUnit.id == unit_id).values(last_error=cause or detail))
        end_trial(session, unit_id, TrialEnding(TrialState.FAILED, error_code=code, error_detail=detail))
        notify_dispatcher(session)
        _end(session, unit_id, UnitState.DONE)
        return
    session.execute(
        update(JobItem)
        .where(JobItem.unit_id == unit_id, JobItem.state == ItemState.PENDING)
        .values(state=ItemState.FAILED, error_code=GaveUp().code, error_detail=detail)
    )
    job_id = session.scalars(
        update(JobUnit)
        .where(JobUnit.id == unit_id)
        .values(
            failed=case((JobUnit.kind == "predict", 1), else_=_items_in(ItemState.FAILED)),
            last_error=cause or detail,
        )
        .returning(JobUnit.job_id)
    ).one()
    session.execute(update(Job).where(Job.id == job_id).values(error_code=code, error_detail=detail))
    _end(session, unit_id, UnitState.FAILED)


def _quarantine(session: Session, unit_id: int, pos: int) -> bool:
    """Count a crash against an item; True when it was one too many and the item is given up."""
    at_item = (JobItem.unit_id == unit_id, JobItem.pos == pos, JobItem.state == ItemState.PENDING)
    crashes = session.scalar(
        update(JobItem)
        .where(*at_item)
        .values(crash_count=JobItem.crash_count + 1)
        .returning(JobItem.crash_count)
    )
    if crashes is None or crashes < MAX_ITEM_CRASHES:
        return False
    session.execute(
        update(JobItem)
        .where(*at_item)
        .values(state=ItemState.FAILED, error_code=Crashed().code, error_detail=Crashed().detail)
    )
    session.execute(update(JobUnit).where(JobUnit.id == unit_id).values(failed=_items_in(ItemState.FAILED)))
    return True


def _backoff_s(failures: int) -> float:
    return min(2.0**failures, MAX_BACKOFF_S)
