"""Claims: one worker's right to work on a unit, under a lease.

Whoever writes for a unit must hold its live lease under the `claim_id` of its own claim; the row lock that
`hold_lease` takes makes a late writer and the reaper take turns, so exactly one of them wins.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session

from core.errors import LeaseLost
from core.states import JobState, UnitState
from core.store.clock import seconds
from core.store.tables import Job, JobItem, JobUnit

SELF_CRASH_PENALTY = 1  # crashes that count extra when a process died of its own code


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
    """Extend the lease, or raise LeaseLost."""
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
    """Name the item that the worker is processing, so that a crash is counted against it."""
    session.execute(update(JobUnit).where(_held_by(claim)).values(current_pos=pos))


def expire_lease(session: Session, claimed_by: str, *, crashed: bool = False) -> None:
    """Let the reaper take a unit whose worker process is known to be dead; `crashed`: by its own doing."""
    unit = session.execute(
        update(JobUnit)
        .where(JobUnit.claimed_by == claimed_by, JobUnit.state == UnitState.RUNNING)
        .values(
            lease_until=func.least(JobUnit.lease_until, func.clock_timestamp()),  # never later than it was
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
