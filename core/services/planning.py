"""Adding the units of a job page by page; a killed planner continues after the last committed page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import case, func, insert, select, tuple_, update
from sqlalchemy.orm import Session

from core.jobs.claims import Claim, hold_lease
from core.jobs.counters import replace_payload
from core.jobs.jobs import notify_dispatcher
from core.jobs.kinds import UnitSpec
from core.states import ItemState, JobState, UnitState
from core.store.findings import count_left_out
from core.store.tables import Job, JobItem, JobUnit, Track


@dataclass(frozen=True)
class PlannedItem:
    """A track to open, one whose outcome is known without opening it, or a `path` that is not a track."""

    track_id: UUID | None
    state: ItemState = ItemState.PENDING
    content_hash: bytes | None = None
    error_code: str | None = None
    error_detail: str | None = None
    path: str | None = None  # relative to the library or dataset, where there is no track


@dataclass(frozen=True)
class PlannedUnit:
    spec: UnitSpec
    items: Sequence[PlannedItem]


def add_page(
    session: Session,
    claim: Claim,
    units: Sequence[PlannedUnit],
    *,
    cursor: dict[str, Any],
    next_cursor: dict[str, Any],
    left_out: Mapping[str, int] | None = None,
) -> None:
    """Add the units of the page at `cursor` and store where the next one starts, all or nothing.

    `left_out` counts the page's entries that are no audio, by reason.

    Does nothing if the stored cursor is another one: then this page was added before.
    """
    hold_lease(session, claim)
    if session.scalar(select(JobUnit.payload).where(JobUnit.id == claim.unit_id)) != cursor:
        return
    next_seq = 1 + (session.scalar(select(func.max(JobUnit.seq)).where(JobUnit.job_id == claim.job_id)) or 0)
    for seq, unit in enumerate(units, next_seq):
        _add_unit(session, claim.job_id, seq, unit)
    total = sum(len(unit.items) for unit in units)
    session.execute(update(Job).where(Job.id == claim.job_id).values(total=Job.total + total))
    if left_out:
        count_left_out(session, claim.job_id, left_out)
    replace_payload(session, claim, dict(next_cursor))
    notify_dispatcher(session)


def _add_unit(session: Session, job_id: UUID, seq: int, unit: PlannedUnit) -> None:
    counts = Counter(item.state for item in unit.items)
    complete = ItemState.PENDING not in counts
    unit_id = session.scalars(
        insert(JobUnit)
        .values(
            job_id=job_id,
            seq=seq,
            kind=unit.spec.name,
            queue=unit.spec.queue,
            payload={},
            skipped=counts[ItemState.SKIPPED],
            failed=counts[ItemState.FAILED],
            state=UnitState.DONE if complete else UnitState.READY,
            finished_at=func.now() if complete else None,
        )
        .returning(JobUnit.id)
    ).one()
    add_items(session, job_id, unit_id, unit.items)


def add_items(session: Session, job_id: UUID, unit_id: int, items: Sequence[PlannedItem]) -> None:
    """Add the items of a unit, in order."""
    session.execute(
        insert(JobItem),
        [
            {"unit_id": unit_id, "pos": pos, "job_id": job_id, **asdict(item)}
            for pos, item in enumerate(items)
        ],
    )


@dataclass(frozen=True)
class UnfinishedItem:
    """What a job has not labelled: a track, or a path that was no track."""

    unit_id: int
    pos: int
    track_id: UUID | None
    path: str
    size: int  # bytes; 0 where there is no track
    content_hash: bytes | None = None  # of a pending item that needs no look at the file


def unfinished_states(job: Job) -> tuple[ItemState, ...]:
    """The states of the items that a retry of this ended job takes up."""
    is_cancelled = job.state == JobState.CANCELLED
    return (ItemState.FAILED, ItemState.PENDING) if is_cancelled else (ItemState.FAILED,)


def list_unfinished_items(
    session: Session,
    job_id: UUID,
    after: tuple[int, int] | None,
    limit: int,
    are_tracks: bool,
    code: str | None = None,
) -> list[UnfinishedItem]:
    """The unfinished items of a job behind the position `after` (unit id, position in the unit), in order.

    Either those of tracks, or those of paths that were no track; with `code` only those of one reason.
    """
    path, size = func.coalesce(JobItem.path, Track.path), func.coalesce(Track.size, 0)
    is_unchanged = (JobItem.state == ItemState.PENDING) & (JobItem.content_hash == Track.content_hash)
    content_hash = case((is_unchanged, JobItem.content_hash))
    kind = JobItem.track_id.is_not(None) if are_tracks else JobItem.track_id.is_(None)
    states = unfinished_states(session.get_one(Job, job_id))
    query = (
        select(JobItem.unit_id, JobItem.pos, JobItem.track_id, path, size, content_hash)
        .outerjoin(Track, Track.id == JobItem.track_id)
        .where(JobItem.job_id == job_id, JobItem.state.in_(states), kind)
        .order_by(JobItem.unit_id, JobItem.pos)
        .limit(limit)
    )
    if code is not None:
        query = query.where(JobItem.error_code == code)
    if after is not None:
        query = query.where(tuple_(JobItem.unit_id, JobItem.pos) > after)
    return [UnfinishedItem(*row) for row in session.execute(query)]


def find_finished(session: Session, job_ids: Sequence[UUID], track_ids: Sequence[UUID]) -> dict[UUID, bytes]:
    """The tracks that one of these jobs has labelled or skipped, with their audio if that is the same now."""
    if not job_ids:
        return {}
    finished = (
        select(Track.id, Track.content_hash)
        .join(JobItem, (JobItem.track_id == Track.id) & (JobItem.content_hash == Track.content_hash))
        .where(
            Track.id.in_(track_ids),
            JobItem.job_id.in_(job_ids),
            JobItem.state.in_((ItemState.DONE, ItemState.SKIPPED)),
        )
    )
    return {track_id: content for track_id, content in session.execute(finished) if content is not None}
