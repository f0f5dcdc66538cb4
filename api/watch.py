"""One look a second at the jobs and the readiness of the server, for all open event streams together."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from uuid import UUID

from fastapi.concurrency import run_in_threadpool
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from api import schemas
from core.jobs.jobs import OPEN_JOB_STATES
from core.jobs.kinds import Progress
from core.jobs.progress import get_progress
from core.services.readiness import missing_broker, missing_in_database
from core.settings import Settings
from core.states import TERMINAL_JOB_STATES
from core.store.session import SessionFactory
from core.store.tables import Job

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
REST = 4.0  # at least this many times as long as a look took, there is none
READINESS_EVERY_S = 2.0  # so that a full disk is told within 5 s
DATABASE_AWAY = "The database does not answer."
MOST_OPEN = 100  # jobs: of more, the oldest are not watched
MOST_RECENT = 50  # jobs, whatever their state: one may begin and end between two looks


@dataclass(frozen=True)
class WatchedJob:
    owner: str
    change: schemas.JobChange

    @cached_property
    def shown(self) -> dict[str, Any]:
        """What makes a change: rate and remaining time are others with every look."""
        return self.change.model_dump(exclude={"progress": {"rate_per_s", "eta_s"}})

    def differs_from(self, other: "WatchedJob | None") -> bool:
        return other is not self and (other is None or self.shown != other.shown)


@dataclass(frozen=True)
class Snapshot:
    number: int = 0  # of the look
    jobs: Mapping[UUID, WatchedJob] = field(default_factory=dict)
    missing: Sequence[str] = ()


class Watch:
    """Looks for as long as anybody follows. Belongs to one event loop."""

    def __init__(self, reads: SessionFactory, settings: Settings) -> None:
        self._reads = reads
        self._settings = settings
        self._snapshot = Snapshot()
        self._looked = asyncio.Condition()
        self._followers = 0
        self._task: asyncio.Task[None] | None = None
        self._measured_at = float("-inf")  # when the readiness was asked for, on the monotonic clock

    async def follow(self) -> AsyncGenerator[Snapshot, None]:
        """The next look and every further one; looks that come while the caller is busy are passed over."""
        self._followers += 1
        if self._task is None:
            self._task = asyncio.create_task(self._look_repeatedly())
        seen = self._snapshot.number
        try:
            while True:
                async with self._looked:
                    await self._looked.wait_for(lambda: self._snapshot.number > seen)  # noqa: B023
                    snapshot = self._snapshot
                seen = snapshot.number
                yield snapshot
        finally:
            self._followers -= 1
            if not self._followers and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _look_repeatedly(self) -> None:
        while True:
            began = time.monotonic()
            snapshot = await run_in_threadpool(self._look, self._snapshot)
            async with self._looked:
                self._snapshot = snapshot
                self._looked.notify_all()
            await asyncio.sleep(max(LOOK_EVERY_S, REST * (time.monotonic() - began)))

    def _look(self, last: Snapshot) -> Snapshot:
        number = last.number + 1
        try:
            with self._reads() as session:
                return Snapshot(number, watch_jobs(session, last.jobs), self._find_missing(session, last))
        except SQLAlchemyError as error:
            log.warning("the jobs cannot be watched: %s", getattr(error, "orig", None) or error)
            return replace(last, number=number, missing=[DATABASE_AWAY])
        except Exception:  # must not end the streams of all; what is wrong may be gone with the next look
            log.exception("the jobs cannot be watched")
            return replace(last, number=number)

    def _find_missing(self, session: Session, last: Snapshot) -> Sequence[str]:
        if time.monotonic() < self._measured_at + READINESS_EVERY_S:
            return last.missing
        missing = [*missing_in_database(session), *missing_broker(self._settings)]
        self._measured_at = time.monotonic()
        return missing


def watch_jobs(session: Session, known: Mapping[UUID, WatchedJob]) -> dict[UUID, WatchedJob]:
    """The newest jobs and those that are open. The progress of one that had ended is taken from `known`."""
    newest_first = select(Job.id, Job.state).order_by(Job.created_at.desc(), Job.id.desc())
    recent = session.execute(newest_first.limit(MOST_RECENT)).all()
    still_open = session.execute(newest_first.where(Job.state.in_(OPEN_JOB_STATES)).limit(MOST_OPEN)).all()
    ended = {
        job_id: known[job_id]
        for job_id, state in recent
        if state in TERMINAL_JOB_STATES and job_id in known and known[job_id].change.state == state
    }
    others = {job_id for job_id, _ in (*recent, *still_open) if job_id not in ended}
    jobs = session.scalars(select(Job).where(Job.id.in_(others))).all() if others else []
    progress = get_progress(session, jobs) if jobs else {}
    return ended | {job.id: _watched(job, progress[job.id]) for job in jobs if job.id in progress}


def _watched(job: Job, progress: Progress) -> WatchedJob:
    shown = schemas.Progress.model_validate({**vars(progress), **progress.details})
    change = schemas.JobChange.model_validate(
        {"id": job.id, "kind": job.kind, "state": job.state, "progress": shown}
    )
    return WatchedJob(job.owner, change)
