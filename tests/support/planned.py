"""Jobs as the planner leaves them, and a look at their rows as others see them."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from core.jobs import claims, endings, reaping
from core.jobs.claims import Claim
from core.jobs.items import Outcome, record_outcomes
from core.states import ItemState
from core.store.session import SessionFactory, transaction
from core.store.tables import Job, JobItem, JobUnit, Library, Track

LEASE_S = 90.0


@dataclass(frozen=True)
class Planned:
    job_id: UUID
    unit_ids: list[int]


def plan_job(sessions: SessionFactory, *sizes: int) -> Planned:
    """A job of one `analyse` unit per size, each with so many tracks that nobody has looked at yet."""
    with transaction(sessions) as session:
        library = session.scalars(select(Library)).first() or Library(name="music", path="/music")
        job = Job(kind="analysis", owner="tests", params={"library": "music"}, total=sum(sizes))
        session.add_all([library, job])
        session.flush()
        job.library_id = library.id
        created = [
            JobUnit(job_id=job.id, seq=seq, kind="analyse", queue="batch") for seq, _ in enumerate(sizes, 1)
        ]
        session.add_all(created)
        session.flush()
        for unit, size in zip(created, sizes, strict=True):
            _add_items(session, library, unit, size)
        return Planned(job.id, [unit.id for unit in created])


def _add_items(session: Session, library: Library, unit: JobUnit, size: int) -> None:
    tracks = [
        Track(library_id=library.id, path=f"{unit.id}/{pos}.mp3", size=1, mtime_ns=1) for pos in range(size)
    ]
    session.add_all(tracks)
    session.flush()
    session.add_all(
        JobItem(unit_id=unit.id, pos=pos, job_id=unit.job_id, track_id=track.id)
        for pos, track in enumerate(tracks)
    )


def claim(sessions: SessionFactory, unit_id: int, lease_s: float = LEASE_S) -> Claim:
    """A claim that must succeed."""
    claimed = try_claim(sessions, unit_id, lease_s)
    assert claimed is not None
    return claimed


def try_claim(sessions: SessionFactory, unit_id: int, lease_s: float = LEASE_S) -> Claim | None:
    with transaction(sessions) as session:
        return claims.claim_unit(session, unit_id, f"task of {unit_id}", lease_s)


def record(
    sessions: SessionFactory, claimed: Claim, positions: Sequence[int], state: ItemState = ItemState.DONE
) -> None:
    code = "corrupt" if state is ItemState.FAILED else None
    with transaction(sessions) as session:
        record_outcomes(session, claimed, [Outcome(pos, state, error_code=code) for pos in positions])


def finish(sessions: SessionFactory, claimed: Claim) -> None:
    with transaction(sessions) as session:
        endings.finish_unit(session, claimed)


def expire(sessions: SessionFactory, unit_id: int) -> None:
    """Let a unit's lease run out now."""
    with transaction(sessions) as session:
        session.execute(
            update(JobUnit).where(JobUnit.id == unit_id).values(lease_until=func.clock_timestamp())
        )


def reap(sessions: SessionFactory) -> int:
    with transaction(sessions) as session:
        return reaping.reap_expired(session)


def make_due(sessions: SessionFactory, unit_id: int) -> None:
    """Forget a unit's back-off."""
    with transaction(sessions) as session:
        session.execute(update(JobUnit).where(JobUnit.id == unit_id).values(run_after=func.now()))


def skip_preparation(sessions: SessionFactory, job_id: UUID) -> None:
    """Remove the unit that would prepare the tracks of a training or study."""
    with transaction(sessions) as session:
        session.execute(delete(JobUnit).where(JobUnit.job_id == job_id, JobUnit.kind == "plan-inputs"))


def read_job(sessions: SessionFactory, job_id: UUID) -> Job:
    with sessions() as session:
        return session.get_one(Job, job_id)


def read_unit(sessions: SessionFactory, unit_id: int) -> JobUnit:
    with sessions() as session:
        return session.get_one(JobUnit, unit_id)


def read_items(sessions: SessionFactory, unit_id: int) -> list[JobItem]:
    with sessions() as session:
        query = select(JobItem).where(JobItem.unit_id == unit_id).order_by(JobItem.pos)
        return list(session.scalars(query))


def item_states(sessions: SessionFactory, unit_id: int) -> list[str]:
    return [item.state for item in read_items(sessions, unit_id)]


def counters(sessions: SessionFactory, unit_id: int) -> tuple[int, int, int]:
    """Done, failed, skipped."""
    unit = read_unit(sessions, unit_id)
    return unit.done, unit.failed, unit.skipped
