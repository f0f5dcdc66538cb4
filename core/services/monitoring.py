"""What an operator monitors: are all parts there, and does the work progress?"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from alembic.script import ScriptDirectory
from sqlalchemy import ColumnElement, Float, cast, func, select, text, true
from sqlalchemy.orm import Session

from core.jobs.jobs import OPEN_JOB_STATES, OPEN_UNIT_STATES
from core.jobs.kinds import queues
from core.jobs.workers import count_workers, measure_heartbeats, slots_by_queue
from core.services.analysis import ANALYSE
from core.services.prediction import PREDICT
from core.services.preparation import PREPARE
from core.services.sweep import count_marked
from core.states import UnitState
from core.store.clock import seconds
from core.store.tables import Job, JobUnit, Library, Track

# As of the last (auto)vacuum; -1 before the first.
ESTIMATED_TRACKS = text(
    "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = to_regclass('tracks')"
)
ESTIMATED_WARNED = text(
    "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = to_regclass('ix_predictions_warned')"
)
RECENT_S = 300.0  # window of the figures on recent work, found by the index over `finished_at`
MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


@dataclass(frozen=True)
class QueueSnapshot:
    """A snapshot of the queue, whose cost does not grow with past work.

    Ages are in seconds, 0 when there is nothing of the kind.
    """

    jobs: dict[str, int]  # open ones, by state
    units: dict[tuple[str, str], int]  # open ones, by state and queue
    oldest_ready_s: float
    oldest_expired_lease_s: float
    deleted: dict[str, int]  # rows that are still to be removed, by table
    tracks: int  # an estimate
    warned: int  # results of tracks of which some audio is missing, an estimate
    unreadable_tags: int  # tracks that are there and whose tags cannot all be read
    workers: int
    slots: dict[str, int]  # that workers offer, by queue
    heartbeats: dict[str, float]  # seconds since the last one of each worker and dispatcher, by name
    ended_units: dict[tuple[str, str], int]  # recent ones, by kind and state
    ended_tracks: dict[str, int]  # of those units, by outcome
    stage_s: dict[str, float]  # that their work took, by stage


@cache
def newest_revision() -> str | None:
    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


def applied_migration(session: Session) -> str | None:
    """The last migration that the database has had."""
    if session.scalar(select(func.to_regclass("alembic_version"))) is None:
        return None
    applied: str | None = session.scalar(text("SELECT version_num FROM alembic_version"))
    return applied


def is_migrated(session: Session) -> bool:
    """Whether the database has every migration that this code knows."""
    return applied_migration(session) == newest_revision()


def measure_queue(session: Session) -> QueueSnapshot:
    now = func.clock_timestamp()
    ready_s = func.extract("epoch", now - func.min(JobUnit.run_after))
    expired_s = func.extract("epoch", now - func.min(JobUnit.lease_until))
    ready = select(ready_s).where(JobUnit.state == UnitState.READY, JobUnit.run_after <= now)
    expired = select(expired_s).where(JobUnit.state == UnitState.RUNNING, JobUnit.lease_until < now)
    return QueueSnapshot(
        jobs=count_open_jobs(session),
        units=count_open_units(session),
        oldest_ready_s=float(session.scalar(ready) or 0),
        oldest_expired_lease_s=float(session.scalar(expired) or 0),
        deleted=count_marked(session),
        tracks=session.scalar(ESTIMATED_TRACKS) or 0,
        warned=session.scalar(ESTIMATED_WARNED) or 0,
        unreadable_tags=count_unreadable_tags(session),
        workers=count_workers(session),
        slots=dict.fromkeys(queues(), 0) | slots_by_queue(session),
        heartbeats=measure_heartbeats(session),
        ended_units=count_ended_units(session),
        ended_tracks=count_ended_tracks(session),
        stage_s=sum_stages(session),
    )


def count_unreadable_tags(session: Session) -> int:
    tracks = select(func.count()).select_from(Track).join(Library)  # without those of deleted libraries
    unreadable = tracks.where(Track.tags_error.is_not(None), Track.missing_at.is_(None))
    return session.scalar(unreadable) or 0


def count_open_jobs(session: Session) -> dict[str, int]:
    """By state."""
    counts = select(Job.state, func.count()).where(Job.state.in_(OPEN_JOB_STATES)).group_by(Job.state)
    return {state: count for state, count in session.execute(counts)}


def count_open_units(session: Session) -> dict[tuple[str, str], int]:
    """By state and queue."""
    counts = select(JobUnit.state, JobUnit.queue, func.count()).where(JobUnit.state.in_(OPEN_UNIT_STATES))
    by_both = session.execute(counts.group_by(JobUnit.state, JobUnit.queue))
    return {(state, queue): count for state, queue, count in by_both}


def _ended_recently() -> ColumnElement[bool]:
    return JobUnit.finished_at > func.now() - seconds(RECENT_S)


def count_ended_units(session: Session) -> dict[tuple[str, str], int]:
    """By kind and state."""
    counts = select(JobUnit.kind, JobUnit.state, func.count()).where(_ended_recently())
    return {(kind, state): count for kind, state, count in session.execute(counts.group_by("kind", "state"))}


def count_ended_tracks(session: Session) -> dict[str, int]:
    """By outcome."""
    outcomes = {"done": JobUnit.done, "failed": JobUnit.failed, "skipped": JobUnit.skipped}
    sums = select(*(func.coalesce(func.sum(column), 0).label(name) for name, column in outcomes.items()))
    row = session.execute(
        sums.where(_ended_recently(), JobUnit.kind.in_((ANALYSE.name, PREDICT.name, PREPARE.name)))
    ).one()
    return {name: int(count) for name, count in row._asdict().items()}


def sum_stages(session: Session) -> dict[str, float]:
    """Seconds of work of all workers together, by stage."""
    stage = func.jsonb_each_text(JobUnit.timings).table_valued("key", "value")
    sums = select(stage.c.key, func.sum(cast(stage.c.value, Float))).select_from(JobUnit).join(stage, true())
    rows = session.execute(
        sums.where(_ended_recently(), JobUnit.kind.in_((ANALYSE.name, PREPARE.name))).group_by(stage.c.key)
    )
    return {name: float(took_s) for name, took_s in rows}
