"""What the dispatcher does with units: bring ready ones to the broker, take back what got lost there."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import exists, func, select, update
from sqlalchemy.orm import Session

from core.jobs.units import seconds
from core.states import JobState, UnitState
from core.store.tables import Job, JobUnit


@dataclass(frozen=True)
class Doorbell:
    unit_id: int
    kind: str
    queue: str
    is_again: bool  # its last worker vanished: it has waited for its turn before


def take_ready(session: Session, queue: str, window: int) -> list[Doorbell]:
    """Mark the next ready units of a queue as dispatched, at most so many that `window` are on their way.

    Units whose worker vanished come first, however many are on their way. Then jobs take turns: the first
    ready unit of every job comes before the second of any.
    """
    again = _dispatch(session, _lost_units(session, queue, window))
    return again + _dispatch(session, _next_units(session, queue, window))


def _lost_units(session: Session, queue: str, limit: int) -> Sequence[int]:
    is_open = exists().where(Job.id == JobUnit.job_id, Job.state.in_((JobState.QUEUED, JobState.RUNNING)))
    lost = select(JobUnit.id).where(
        JobUnit.queue == queue,
        JobUnit.state == UnitState.READY,
        JobUnit.crash_count > 0,
        JobUnit.run_after <= func.clock_timestamp(),
        is_open,
    )
    return session.scalars(lost.order_by(JobUnit.id).limit(limit)).all()


def _next_units(session: Session, queue: str, window: int) -> Sequence[int]:
    waiting = session.scalar(
        select(func.count()).where(JobUnit.queue == queue, JobUnit.state == UnitState.DISPATCHED)
    )
    room = window - (waiting or 0)
    if room <= 0:
        return []
    rank = func.row_number().over(order_by=JobUnit.id).label("rank")
    candidates = (
        select(JobUnit.id, rank)
        .where(
            JobUnit.job_id == Job.id,
            JobUnit.queue == queue,
            JobUnit.state == UnitState.READY,
            JobUnit.run_after <= func.clock_timestamp(),
        )
        .order_by(JobUnit.id)
        .limit(room)
        .lateral()
    )
    return session.scalars(
        select(candidates.c.id)
        .select_from(Job)
        .join(candidates, Job.state.in_((JobState.QUEUED, JobState.RUNNING)))
        .order_by(candidates.c.rank, Job.created_at)
        .limit(room)
    ).all()


def _dispatch(session: Session, unit_ids: Sequence[int]) -> list[Doorbell]:
    if not unit_ids:
        return []
    still_ready = (
        select(JobUnit.id)
        .where(JobUnit.id.in_(unit_ids), JobUnit.state == UnitState.READY)
        .with_for_update(skip_locked=True)
    )
    rows = session.execute(
        update(JobUnit)
        .where(JobUnit.id.in_(still_ready))
        .values(state=UnitState.DISPATCHED, dispatched_at=func.clock_timestamp())
        .returning(JobUnit.id, JobUnit.kind, JobUnit.queue, JobUnit.crash_count > 0)
    ).all()
    order = {unit_id: position for position, unit_id in enumerate(unit_ids)}
    return [Doorbell(*row) for row in sorted(rows, key=lambda row: order[row.id])]


def take_back(session: Session, *, still_there: Collection[int] = (), older_than_s: float) -> int:
    """Make dispatched units ready again whose doorbells the broker has lost: all but those still there."""
    lost = (
        select(JobUnit.id)
        .where(
            JobUnit.state == UnitState.DISPATCHED,
            JobUnit.dispatched_at <= func.clock_timestamp() - seconds(older_than_s),
            JobUnit.id.not_in(still_there),
        )
        .with_for_update(skip_locked=True)
    )
    values = {"state": UnitState.READY, "dispatched_at": None}
    ready = update(JobUnit).where(JobUnit.id.in_(lost)).values(values)
    return len(session.execute(ready.returning(JobUnit.id)).all())
