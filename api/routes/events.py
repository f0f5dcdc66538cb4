"""Server-sent events: a hint to re-read a job; the job itself stays the truth."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated
from uuid import UUID

from fastapi import Depends
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api import schemas, views
from api.deps import Caller, Reader, ReadsDep
from api.routes import make_router, problems
from core.errors import JobNotFound, Unavailable
from core.jobs.jobs import get_job
from core.states import TERMINAL_JOB_STATES
from core.store.api_keys import is_valid
from core.store.session import SessionFactory

router = make_router("jobs")

LOOK_EVERY_S = 1.0
MAX_STREAM_S = 600.0  # a client that wants more connects again
MAX_STREAMS = 100  # in this process
streams = asyncio.Semaphore(MAX_STREAMS)


async def open_stream(job_id: UUID, reads: ReadsDep, caller: Reader) -> AsyncIterator[schemas.Job]:
    """The job as it is now: errors must come before the stream starts. Holds one of the streams."""
    if streams.locked():
        raise Unavailable("Too many event streams are open; poll the job instead.")
    async with streams:
        yield await run_in_threadpool(views.read_job, reads, job_id, caller.visible_to)


@router.get("/{job_id}/events", response_class=EventSourceResponse, responses=problems(404))
async def stream_events(
    reads: ReadsDep, caller: Reader, job: Annotated[schemas.Job, Depends(open_stream)]
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
