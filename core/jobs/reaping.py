"""Units without a worker: their lease ran out, or their job was cancelled before they started."""

import logging

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from core.errors import Crashed, GaveUp
from core.jobs.claims import SELF_CRASH_PENALTY
from core.jobs.counters import items_in
from core.jobs.endings import backoff_s, give_up_unit, requeue_unit
from core.states import ItemState, JobState, UnitState
from core.store.tables import Job, JobItem, JobUnit

log = logging.getLogger(__name__)

# Of consecutive crashes. A worker that vanished counts 1, as it may have been killed from outside;
# SELF_CRASH_PENALTY is added when it is known to have died of its own code.
MAX_CRASHES = 10
MAX_ITEM_CRASHES = 4  # of the item that the worker was processing


def reap_expired(session: Session, limit: int = 200) -> int:
    """Requeue units whose lease ran out; any number of reapers may run at a time."""
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
    """False for a unit that cannot be requeued now: it is tried again, and holds up no other."""
    crashes = crash_count + 1
    try:
        with session.begin_nested():
            if current_pos is not None and _quarantine(session, unit_id, current_pos):
                crashes = 0
            if crashes >= MAX_CRASHES:
                detail = "The worker died again and again while at this unit."
                give_up_unit(session, unit_id, GaveUp().code, detail)
            else:
                delay_s = backoff_s(crashes - SELF_CRASH_PENALTY - 1) if crashes > 1 else 0
                values = {"crash_count": crashes, "attempt": JobUnit.attempt - 1}
                requeue_unit(session, unit_id, delay_s=delay_s, **values)
    except Exception:
        log.exception("unit %s cannot be taken from its dead worker", unit_id)
        return False
    return True


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
    session.execute(update(JobUnit).where(JobUnit.id == unit_id).values(failed=items_in(ItemState.FAILED)))
    return True


def cancel_waiting(session: Session, limit: int = 5000) -> int:
    """End the units of cancelled jobs that no worker has claimed."""
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
