"""Server-sent events: hints to read something again; the answers to that stay the truth."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, suppress
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api import schemas, views
from api.deps import Caller, Reader, ReadsDep
from api.routes import API, GUARDED, problems
from api.watch import Snapshot, Watch, WatchedJob
from core.errors import JobNotFound, Unavailable
from core.jobs.jobs import get_job
from core.states import TERMINAL_JOB_STATES
from core.store.api_keys import is_valid
from core.store.session import SessionFactory

router = APIRouter(prefix=API, responses=GUARDED)

LOOK_EVERY_S = 1.0
MAX_STREAM_S = 600.0  # a client that wants more connects again
MAX_STREAMS = 100  # in this process
CHECK_KEY_EVERY_S = 5.0
RECONNECT_AFTER_MS = 2000
streams = asyncio.Semaphore(MAX_STREAMS)


async def hold_stream() -> AsyncIterator[None]:
    """Hold one of the streams until the request ends. Errors must come before the stream starts."""
    if streams.locked():
        raise Unavailable("Too many event streams are open; poll instead.")
    async with streams:
        yield


HeldStream = Depends(hold_stream)


async def open_job(job_id: UUID, reads: ReadsDep, caller: Reader) -> schemas.Job:
    """The job as it is now."""
    return await run_in_threadpool(views.read_job, reads, job_id, caller.visible_to)


async def get_watch(request: Request) -> Watch:
    watch: Watch = request.app.state.watch
    return watch


@router.get("/events", tags=["events"], response_class=EventSourceResponse, dependencies=[HeldStream])
async def stream_changes(
    reads: ReadsDep, caller: Reader, watch: Annotated[Watch, Depends(get_watch)]
) -> AsyncIterator[ServerSentEvent]:
    """What has changed on the server, at most once a second; ends with the key, or after ten minutes.

    `jobs` lists jobs of the caller (with an `admin` key of everybody) that are new or whose state or progress
    has changed: `{changed, gone}`, at first all that are open and the newest that have ended. Of more than
    100 open jobs the oldest are left out. `readiness` is the answer of `/readyz`, at first and whenever it is
    another one. A comment every 15 seconds keeps the connection alive.
    """
    deadline = time.monotonic() + MAX_STREAM_S
    check_key_at = time.monotonic() + CHECK_KEY_EVERY_S
    shown = Snapshot(missing=["unknown"])
    async with aclosing(watch.follow()) as looks:
        async for seen in looks:
            for event in describe_changes(shown, seen, caller):
                yield event
            shown = seen
            if time.monotonic() > check_key_at:
                check_key_at = time.monotonic() + CHECK_KEY_EVERY_S
                if not await run_in_threadpool(has_valid_key, reads, caller):
                    return
            if time.monotonic() > deadline:
                return


def describe_changes(shown: Snapshot, seen: Snapshot, caller: Caller) -> Iterator[ServerSentEvent]:
    """What the caller may know of the differences between two looks."""
    if seen.missing != shown.missing:
        readiness = schemas.Readiness(ready=not seen.missing, missing=list(seen.missing))
        yield ServerSentEvent(event="readiness", data=readiness, retry=RECONNECT_AFTER_MS)
    before, now = _visible(shown.jobs, caller), _visible(seen.jobs, caller)
    changed = [job.change for job_id, job in now.items() if job.differs_from(before.get(job_id))]
    gone = sorted(before.keys() - now.keys())
    if changed or gone:
        yield ServerSentEvent(event="jobs", data=schemas.JobChanges(changed=changed, gone=gone))


def _visible(jobs: Mapping[UUID, WatchedJob], caller: Caller) -> dict[UUID, WatchedJob]:
    everybody = caller.visible_to is None
    return {job_id: job for job_id, job in jobs.items() if everybody or job.owner == caller.visible_to}


def has_valid_key(reads: SessionFactory, caller: Caller) -> bool:
    """Whether the key that a stream was opened with may still be used, if one was."""
    with reads() as session:
        return caller.key_id is None or is_valid(session, caller.key_id)


@router.get(
    "/jobs/{job_id}/events",
    tags=["jobs"],
    response_class=EventSourceResponse,
    responses=problems(404),
    dependencies=[HeldStream],
)
async def stream_events(
    reads: ReadsDep, caller: Reader, job: Annotated[schemas.Job, Depends(open_job)]
) -> AsyncIterator[ServerSentEvent]:
    """The job each time it has changed, at most once a second; ends with the job, the key or ten minutes,
    and when the job is deleted.

    A comment every 15 seconds keeps the connection alive.
    """
    deadline = time.monotonic() + MAX_STREAM_S
    yield ServerSentEvent(event="job", data=job)
    shown = job
    while job.state not in TERMINAL_JOB_STATES and time.monotonic() < deadline:
        await asyncio.sleep(LOOK_EVERY_S)
        seen = await run_in_threadpool(look, reads, job.id, caller)
        if seen is None:
            return
        job = seen
        if _changed(shown, job):
            shown = job
            yield ServerSentEvent(event="job", data=job)


def look(reads: SessionFactory, job_id: UUID, caller: Caller) -> schemas.Job | None:
    """The job as it is now, for a caller whose key is still valid; None also when it has been deleted."""
    with reads() as session, suppress(JobNotFound):
        if caller.key_id is not None and not is_valid(session, caller.key_id):
            return None
        return views.job(session, get_job(session, job_id, visible_to=caller.visible_to))
    return None


def _changed(before: schemas.Job, after: schemas.Job) -> bool:
    """Rate and remaining time change with every read; a change of these alone is not an event."""
    moving = {"progress": {"rate_per_s", "eta_s"}}
    return before.model_dump(exclude=moving) != after.model_dump(exclude=moving)
