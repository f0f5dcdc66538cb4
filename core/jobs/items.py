"""Items of a job: one per track, and one per path that is no track, each with its outcome."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select, tuple_, update
from sqlalchemy.orm import Session

from core.jobs.claims import Claim, hold_lease
from core.jobs.counters import count_items
from core.states import ItemState
from core.store.cursor import Page, cut_page, decode_cursor
from core.store.tables import Job, JobItem, Track


@dataclass(frozen=True)
class Outcome:
    pos: int
    state: ItemState
    content_hash: bytes | None = None
    error_code: str | None = None
    error_detail: str | None = None


@dataclass(frozen=True)
class WorkItem:
    """A track or file that a unit has yet to deal with."""

    pos: int
    track_id: UUID | None  # None: a file of no library
    path: str
    content_hash: bytes | None = None  # known where labels need no look at the file


@dataclass(frozen=True)
class ItemRow:
    track_id: UUID | None  # None: the path is no track
    path: str
    state: ItemState
    error_code: str | None
    error_detail: str | None


def load_work(session: Session, claim: Claim) -> list[WorkItem]:
    """The items of a unit that have no outcome yet, in order."""
    rows = session.execute(
        select(JobItem.pos, Track.id, func.coalesce(JobItem.path, Track.path), JobItem.content_hash)
        .outerjoin(Track, Track.id == JobItem.track_id)
        .where(JobItem.unit_id == claim.unit_id, JobItem.state == ItemState.PENDING)
        .order_by(JobItem.pos)
    )
    return [WorkItem(*row) for row in rows]


def record_outcomes(session: Session, claim: Claim, outcomes: Sequence[Outcome]) -> None:
    """Write outcomes under the lease and bring the unit's counters up to them."""
    hold_lease(session, claim)
    session.execute(
        update(JobItem),
        [
            {
                "unit_id": claim.unit_id,
                "pos": outcome.pos,
                "state": outcome.state,
                "content_hash": outcome.content_hash,
                "error_code": outcome.error_code,
                "error_detail": outcome.error_detail,
            }
            for outcome in outcomes
        ],
    )
    count_items(session, claim)


def list_items(
    session: Session,
    job_id: UUID,
    state: ItemState | None,
    cursor: str | None,
    limit: int,
    code: str | None = None,
) -> Page[ItemRow]:
    """In the order of the library; with `code` only those that failed with this error code."""
    query = (
        items_in_order(job_id, limit + 1)
        .add_columns(
            Track.id,
            func.coalesce(JobItem.path, Track.path),
            JobItem.state,
            JobItem.error_code,
            JobItem.error_detail,
        )
        .outerjoin(Track, Track.id == JobItem.track_id)
    )
    if state is not None:
        query = query.where(JobItem.state == state)
    if code is not None:
        query = query.where(JobItem.state == ItemState.FAILED, JobItem.error_code == code)
    if cursor is not None:
        query = after_position(query, decode_cursor(cursor, int, int))
    page = cut_page(session.execute(query).all(), limit, lambda row: row[:2])
    return Page([ItemRow(*row[2:]) for row in page.items], page.next_cursor)


def find_failure(session: Session, track_id: UUID) -> ItemRow | None:
    """The outcome of the last job that has dealt with a track, if the track failed."""
    outcomes = (
        select(JobItem.track_id, Track.path, JobItem.state, JobItem.error_code, JobItem.error_detail)
        .join(Track, Track.id == JobItem.track_id)
        .join(Job, Job.id == JobItem.job_id)
        .where(JobItem.track_id == track_id, JobItem.state != ItemState.PENDING)
        .order_by(Job.created_at.desc(), JobItem.unit_id.desc())
        .limit(1)
    )
    for known_id, path, state, code, detail in session.execute(outcomes):
        if state == ItemState.FAILED:
            return ItemRow(known_id, path, ItemState.FAILED, code, detail)
    return None


def items_in_order(job_id: UUID, limit: int) -> Select[*tuple[Any, ...]]:
    """Nothing of a job that has been deleted since it was read: some of its items may be gone."""
    query = (
        select(JobItem.unit_id, JobItem.pos)
        .join(Job, Job.id == JobItem.job_id)
        .where(JobItem.job_id == job_id)
    )
    return query.order_by(JobItem.unit_id, JobItem.pos).limit(limit)


def after_position(query: Select[*tuple[Any, ...]], position: tuple[Any, ...]) -> Select[*tuple[Any, ...]]:
    return query.where(tuple_(JobItem.unit_id, JobItem.pos) > position)
