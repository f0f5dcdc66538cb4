"""Dispatch: which ready units are published next, and which ones the broker has lost."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from core.jobs.jobs import OPEN_UNIT_STATES
from core.jobs.kinds import UnitSpec, queues, unit_specs
from core.states import JobState, UnitState
from core.store.clock import seconds
from core.store.tables import Job, JobUnit

_IS_OPEN = Job.state.in_((JobState.QUEUED, JobState.RUNNING))


@dataclass(frozen=True)
class TaskMessage:
    unit_id: int
    kind: str
    queue: str
    is_urgent: bool  # its last worker vanished: it has waited for its turn before


def ready_queues(session: Session) -> list[str]:
    """The queues with ready units of jobs that are not being cancelled, whether they are due or not."""
    found = session.execute(_have_ready(queues())).one()
    return [queue for queue, has_ready in zip(queues(), found, strict=True) if has_ready]


@cache
def _have_ready(names: Sequence[str]) -> Select[*tuple[Any, ...]]:
    """A column per queue: a look at one index for each, however many units are ready."""
    is_ready = exists().where(JobUnit.job_id == Job.id, JobUnit.state == UnitState.READY, _IS_OPEN)
    return select(*(is_ready.where(JobUnit.queue == queue).label(queue) for queue in names))


def take_ready(session: Session, queue: str, window: int) -> list[TaskMessage]:
    """Mark the next ready units of a queue as dispatched, until `window` are waiting in the broker.

    Units whose worker vanished come first, however many are waiting. Then jobs take turns: the first
    ready unit of every job comes before the second of any. A unit whose kind waits for others of its job is
    not ready before these have ended.
    """
    urgent = _dispatch(session, _abandoned_units(session, queue, window))
    return urgent + _dispatch(session, _next_units(session, queue, window))


def _abandoned_units(session: Session, queue: str, limit: int) -> Sequence[int]:
    return session.scalars(_abandoned(), {"queue": queue, "limit": limit}).all()


@cache
def _abandoned() -> Select[int]:
    return (
        select(JobUnit.id)
        .where(
            JobUnit.queue == bindparam("queue"),
            JobUnit.state == UnitState.READY,
            JobUnit.crash_count > 0,
            JobUnit.run_after <= func.clock_timestamp(),
            exists().where(Job.id == JobUnit.job_id, _IS_OPEN),
        )
        .order_by(JobUnit.id)
        .limit(bindparam("limit"))
    )


def _next_units(session: Session, queue: str, window: int) -> Sequence[int]:
    waiting = session.scalar(
        select(func.count()).where(JobUnit.queue == queue, JobUnit.state == UnitState.DISPATCHED)
    )
    room = window - (waiting or 0)
    if room <= 0:
        return []
    return session.scalars(_taking_turns(unit_specs()), {"queue": queue, "room": room}).all()


@cache
def _taking_turns(specs: Sequence[UnitSpec]) -> Select[int]:
    """Built once: that takes longer than to run it."""
    rank = func.row_number().over(order_by=JobUnit.id).label("rank")
    candidates = (
        select(JobUnit.id, rank)
        .where(
            JobUnit.job_id == Job.id,
            JobUnit.queue == bindparam("queue"),
            JobUnit.state == UnitState.READY,
            JobUnit.run_after <= func.clock_timestamp(),
            *_may_start(specs),
        )
        .order_by(JobUnit.id)
        .limit(bindparam("room"))
        .lateral()
    )
    return (
        select(candidates.c.id)
        .select_from(Job)
        .join(candidates, _IS_OPEN)
        .order_by(candidates.c.rank, Job.created_at)
        .limit(bindparam("room"))
    )


def _may_start(specs: Sequence[UnitSpec]) -> list[ColumnElement[bool]]:
    """For each kind of unit that waits for others: that those of its job have ended."""
    earlier = aliased(JobUnit)
    return [
        or_(
            JobUnit.kind != spec.name,
            ~exists().where(
                earlier.job_id == JobUnit.job_id,
                earlier.kind.in_(spec.after),
                earlier.state.in_(OPEN_UNIT_STATES),
            ),
        )
        for spec in specs
        if spec.after
    ]


def _dispatch(session: Session, unit_ids: Sequence[int]) -> list[TaskMessage]:
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
    return [TaskMessage(*row) for row in sorted(rows, key=lambda row: order[row.id])]


def requeue_lost(session: Session, *, still_there: Collection[int] = (), older_than_s: float) -> int:
    """Make dispatched units ready again whose messages the broker has lost: all but those still there."""
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
