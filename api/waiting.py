"""Waiting a while for what a job finds out, as `Prefer: wait=N` asks for (RFC 7240)."""

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import Header, Response
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.orm import Session

from api import schemas, views
from api.routes.jobs import accepted
from core.errors import JobCancelled, JobFailed, item_error
from core.jobs.jobs import get_job
from core.jobs.submission import Submission
from core.states import TERMINAL_JOB_STATES, JobState
from core.store.session import SessionFactory
from core.store.tables import Job

DEFAULT_WAIT_S, MAX_WAIT_S = 30, 120
FIRST_PAUSE_S, LAST_PAUSE_S = 0.05, 0.5
MAX_WAITERS = 200  # at a time, in this process
waiters = asyncio.Semaphore(MAX_WAITERS)
Prefer = Annotated[
    str | None, Header(description="`wait=N`: seconds to wait for the result, 0 to 120; default 30")
]
NOT_DONE_YET: dict[int | str, dict[str, Any]] = {
    202: {"model": schemas.Job, "description": "Not done in time; poll the job at `Location`"}
}
T = TypeVar("T")
Read = Callable[[Session, Job], T | None]


async def answer_in_time(
    reads: SessionFactory, submission: Submission, prefer: str | None, response: Response, read: Read[T]
) -> T | schemas.Job:
    """What `read` finds of the job once it has succeeded, or a 202 with the job when the time is up.

    When too many requests wait already, it is a 202 at once. Raises the error of a job that ended without.
    """
    preferred_s = preferred_wait_s(prefer)
    wait_s = 0 if waiters.locked() else DEFAULT_WAIT_S if preferred_s is None else preferred_s
    if preferred_s == wait_s:
        response.headers["Preference-Applied"] = f"wait={wait_s}"
    async with waiters if wait_s else nullcontext():
        answer = await _wait_for(reads, submission.job.id, wait_s, read)
    if isinstance(answer, schemas.Job):
        response.status_code = 202
        accepted(response, submission, answer)
    elif submission.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return answer


def preferred_wait_s(prefer: str | None) -> int | None:
    """`wait` out of a `Prefer` header, within bounds; None if there is none or it is malformed."""
    found = re.search(
        r'(?:^|[,;\s])wait\s*=\s*"?(\d{1,9})"?(?=$|[,;\s])', prefer or "", re.IGNORECASE | re.ASCII
    )
    return min(int(found[1]), MAX_WAIT_S) if found else None


async def _wait_for(reads: SessionFactory, job_id: UUID, wait_s: float, read: Read[T]) -> T | schemas.Job:
    """The answer, or the job when the time is up. Between two queries no connection is held."""
    deadline, pause_s = time.monotonic() + wait_s, FIRST_PAUSE_S
    while True:
        answer: T | schemas.Job = await run_in_threadpool(partial(_find_answer, reads, job_id, read))
        left_s = deadline - time.monotonic()
        if not isinstance(answer, schemas.Job) or left_s <= 0:
            return answer
        await asyncio.sleep(min(pause_s, left_s))
        pause_s = min(pause_s * 1.3, LAST_PAUSE_S)


def _find_answer(reads: SessionFactory, job_id: UUID, read: Read[T]) -> T | schemas.Job:
    """The answer once there is one; raises the error of a job that ended without."""
    with reads() as session:
        job = get_job(session, job_id)
        if job.state not in TERMINAL_JOB_STATES:
            return views.job(session, job)
        if job.state == JobState.CANCELLED:
            raise JobCancelled
        if job.state == JobState.FAILED:
            raise item_error(job.error_code or "", job.error_detail or "")
        answer = read(session, job)
    if answer is None:
        views.read_job(reads, job_id, None)  # raises JobNotFound for one that has been deleted meanwhile
        raise JobFailed
    return answer
