"""What the system is doing: its workers, its queues, and what has failed lately."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, false, func, select, true, union_all
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session

from core.jobs.jobs import OPEN_JOB_STATES, OPEN_UNIT_STATES
from core.jobs.kinds import queues
from core.jobs.workers import DEAD_AFTER_S, DISPATCHER, slots_by_queue
from core.states import ItemState, JobState, UnitState
from core.store.clock import seconds
from core.store.tables import Job, JobItem, JobUnit, Worker

LATELY = timedelta(days=7)
MOST_FAILURES = 10_000  # that are counted


@dataclass(frozen=True)
class SeenWorker:
    name: str
    is_dispatcher: bool
    queues: list[str]
    slots: int  # units at a time
    draining: bool
    alive: bool
    started_at: datetime
    seen_at: datetime  # its last heartbeat


@dataclass(frozen=True)
class QueueState:
    name: str
    slots: int  # units that living workers can do at a time
    running: int  # units
    waiting: int  # units that no worker has begun
    oldest_waiting_s: float | None  # since the oldest of them could have begun; None if none waits


@dataclass(frozen=True)
class Failure:
    """What has failed for one reason in the jobs of `LATELY`."""

    code: str
    detail: str | None  # one of the sentences
    tracks: int
    jobs: int  # that failed as a whole
    last_job: UUID  # the newest in which it happened


def list_workers(session: Session) -> list[SeenWorker]:
    """All that have had a heartbeat within the last hour, by name."""
    alive = Worker.beat_at > func.now() - seconds(DEAD_AFTER_S)
    return [
        SeenWorker(
            row.name,
            row.name.startswith(DISPATCHER),
            row.queues,
            row.slots,
            row.draining,
            is_alive,
            row.started_at,
            row.beat_at,
        )
        for row, is_alive in session.execute(select(Worker, alive).order_by(Worker.name))
    ]


def measure_queues(session: Session) -> list[QueueState]:
    """Every queue, also empty ones."""
    waits = JobUnit.state != UnitState.RUNNING
    could_begin = (JobUnit.state == UnitState.READY) & (JobUnit.run_after <= func.clock_timestamp())
    since = func.min(JobUnit.run_after).filter(could_begin)
    open_units = select(
        JobUnit.queue,
        func.count().filter(~waits),
        func.count().filter(waits),
        func.extract("epoch", func.clock_timestamp() - since),
    ).where(JobUnit.state.in_(OPEN_UNIT_STATES))
    found = {queue: counts for queue, *counts in session.execute(open_units.group_by(JobUnit.queue))}
    slots = slots_by_queue(session)
    states: list[QueueState] = []
    for queue in queues():
        running, waiting, oldest_s = found.get(queue, (0, 0, None))
        age_s = None if oldest_s is None else max(0.0, float(oldest_s))
        states.append(QueueState(queue, slots.get(queue, 0), running, waiting, age_s))
    return states


def _is_visible(visible_to: str | None) -> ColumnElement[bool]:
    return true() if visible_to is None else Job.owner == visible_to


def list_open_jobs(session: Session, visible_to: str | None, limit: int) -> tuple[list[Job], dict[str, int]]:
    """The newest open jobs, and how many there are of each state; those of one owner or (None) of all."""
    mine = (Job.state.in_(OPEN_JOB_STATES), _is_visible(visible_to))
    newest = select(Job).where(*mine).order_by(Job.created_at.desc(), Job.id.desc()).limit(limit)
    counts = select(Job.state, func.count()).where(*mine).group_by(Job.state)
    by_state = {state: count for state, count in session.execute(counts)}
    return list(session.scalars(newest)), {str(state): by_state.get(state, 0) for state in OPEN_JOB_STATES}


def list_failures(session: Session, visible_to: str | None) -> tuple[list[Failure], bool]:
    """What has failed in the jobs of `LATELY` by reason, the most frequent first; whether that is all of it.

    At most `MOST_FAILURES` failed tracks are counted, and as many failed jobs.
    """
    recent = (Job.created_at > func.now() - LATELY, _is_visible(visible_to))
    of_jobs = select(Job.error_code, Job.error_detail, Job.id, Job.created_at, false().label("is_track"))
    failed_jobs = of_jobs.where(*recent, Job.state == JobState.FAILED, Job.error_code.is_not(None))
    of_tracks = select(
        JobItem.error_code, JobItem.error_detail, Job.id, Job.created_at, true().label("is_track")
    )
    failed_tracks = of_tracks.join(Job, Job.id == JobItem.job_id).where(
        *recent, JobItem.state == ItemState.FAILED
    )
    both = union_all(
        select(failed_jobs.limit(MOST_FAILURES + 1).subquery()),
        select(failed_tracks.limit(MOST_FAILURES + 1).subquery()),
    ).subquery()
    newest_first = aggregate_order_by(both.c.id, both.c.created_at.desc())
    by_code = select(
        both.c.error_code,
        func.min(both.c.error_detail),
        func.count().filter(both.c.is_track).label("tracks"),
        func.count().filter(~both.c.is_track).label("jobs"),
        func.array_agg(newest_first)[1],
    ).group_by(both.c.error_code)
    found = [Failure(*row) for row in session.execute(by_code.order_by(func.count().desc(), "error_code"))]
    counted = (sum(each.tracks for each in found), sum(each.jobs for each in found))
    return found, max(counted) <= MOST_FAILURES
