"""What an operator wants to know: is everything there that is needed, and does the work flow?"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from alembic.script import ScriptDirectory
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from core.db.tables import Job, JobUnit, Worker
from core.services.jobs import OPEN_UNIT_STATES
from core.services.units import seconds
from core.services.workers import SILENT_AFTER_S
from core.states import UnitState

# As of the last (auto)vacuum; -1 before the first.
ESTIMATED_TRACKS = text(
    "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = to_regclass('tracks')"
)
MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


@dataclass(frozen=True)
class Activity:
    """One look at the queue, which costs the same however much was done before.

    Ages are in seconds, 0 when there is nothing of the kind.
    """

    jobs: dict[str, int]  # by state
    units: dict[tuple[str, str], int]  # open ones, by state and queue
    oldest_ready_s: float
    oldest_expired_lease_s: float
    tracks: int  # an estimate
    workers: int


@cache
def newest_revision() -> str | None:
    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


def is_migrated(session: Session) -> bool:
    """Whether the database has every migration that this code knows."""
    if session.scalar(select(func.to_regclass("alembic_version"))) is None:
        return False
    return bool(session.scalar(text("SELECT version_num FROM alembic_version")) == newest_revision())


def measure_activity(session: Session) -> Activity:
    jobs = session.execute(select(Job.state, func.count()).group_by(Job.state))
    heard = Worker.beat_at > func.now() - seconds(SILENT_AFTER_S)
    now = func.clock_timestamp()
    ready_s = func.extract("epoch", now - func.min(JobUnit.run_after))
    expired_s = func.extract("epoch", now - func.min(JobUnit.lease_until))
    ready = select(ready_s).where(JobUnit.state == UnitState.READY, JobUnit.run_after <= now)
    expired = select(expired_s).where(JobUnit.state == UnitState.RUNNING, JobUnit.lease_until < now)
    return Activity(
        jobs={state: count for state, count in jobs},
        units=count_open_units(session),
        oldest_ready_s=float(session.scalar(ready) or 0),
        oldest_expired_lease_s=float(session.scalar(expired) or 0),
        tracks=session.scalar(ESTIMATED_TRACKS) or 0,
        workers=session.scalar(select(func.count()).select_from(Worker).where(heard)) or 0,
    )


def count_open_units(session: Session) -> dict[tuple[str, str], int]:
    """By state and queue."""
    counts = select(JobUnit.state, JobUnit.queue, func.count()).where(JobUnit.state.in_(OPEN_UNIT_STATES))
    by_both = session.execute(counts.group_by(JobUnit.state, JobUnit.queue))
    return {(state, queue): count for state, queue, count in by_both}
