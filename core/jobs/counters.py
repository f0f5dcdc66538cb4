"""Counters and progress of a unit. They are absolute, so a second run counts nothing twice.

Writes that show progress also reset the unit's failures and extend its lease. The caller holds the lease
(`core.jobs.claims.hold_lease`).
"""

from typing import Any

from sqlalchemy import ScalarSelect, case, cast, func, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from core.jobs.claims import Claim
from core.states import ItemState
from core.store.clock import seconds
from core.store.tables import JobItem, JobUnit


def count_items(session: Session, claim: Claim) -> None:
    """Bring a unit's counters up to its items."""
    _update(
        session,
        claim,
        done=items_in(ItemState.DONE),
        failed=items_in(ItemState.FAILED),
        skipped=items_in(ItemState.SKIPPED),
        **_without_failures(claim),
    )


def count_unit_itself(session: Session, claim: Claim) -> None:
    """For a unit without items: it is the one thing of its job that is to be done."""
    _update(session, claim, done=1)


def count_done(session: Session, claim: Claim, done: int) -> None:
    """Set what a unit without items has done, in the steps that its job counts.

    Only a higher count resets the failures: a resumed unit reports its old steps again.
    """
    is_new = JobUnit.done < done
    _update(
        session,
        claim,
        done=done,
        attempt=case((is_new, 1), else_=JobUnit.attempt),
        crash_count=case((is_new, 0), else_=JobUnit.crash_count),
        lease_until=_extended(claim),
    )


def reset_failures(session: Session, claim: Claim) -> None:
    """Forget the failures of a unit that has made progress since, where its progress is counted elsewhere."""
    _update(session, claim, **_without_failures(claim))


def save_progress(session: Session, claim: Claim, **payload: Any) -> None:
    """Add to a unit's payload where its next run goes on."""
    added = JobUnit.payload.op("||")(cast(payload, JSONB))
    _update(session, claim, payload=added, **_without_failures(claim))


def replace_payload(session: Session, claim: Claim, payload: dict[str, Any]) -> None:
    """Replace what a unit's payload says about where its next run goes on."""
    _update(session, claim, payload=payload, **_without_failures(claim))


def save_activity(session: Session, claim: Claim, activity: dict[str, Any]) -> None:
    """What the unit is doing: name, done, total."""
    _update(session, claim, activity=activity, lease_until=_extended(claim))


def save_timings(session: Session, claim: Claim, timings: dict[str, float]) -> None:
    """What the stages of the work took, in seconds of this run of the unit."""
    _update(session, claim, timings=timings)


def items_in(state: ItemState) -> ScalarSelect[int]:
    """How many items of a unit are in a state, as a subquery of a statement about JobUnit."""
    return (
        select(func.count())
        .where(JobItem.unit_id == JobUnit.id, JobItem.state == state)
        .correlate(JobUnit)
        .scalar_subquery()
    )


def _update(session: Session, claim: Claim, **values: Any) -> None:
    session.execute(update(JobUnit).where(JobUnit.id == claim.unit_id).values(**values))


def _without_failures(claim: Claim) -> dict[str, Any]:
    return {"attempt": 1, "crash_count": 0, "lease_until": _extended(claim)}


def _extended(claim: Claim) -> Any:
    return func.clock_timestamp() + seconds(claim.lease_s)
