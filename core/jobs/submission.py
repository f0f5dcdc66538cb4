"""The one path by which a job of any kind gets into the queue: key lookup, validation, insert, cap."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import exists, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.errors import IdempotencyKeyReused, JobHasNoItems, JobNotFinished, TooManyJobs
from core.jobs.jobs import OPEN_JOB_STATES, get_job, notify_dispatcher
from core.jobs.kinds import NewJob, SubmissionContext, job_spec, spec_of_params
from core.states import TERMINAL_JOB_STATES, JobState
from core.store.tables import Job, JobUnit

OPEN_JOBS_LOCK = 7_046_029  # key of an advisory lock that nothing else takes


@dataclass(frozen=True)
class Submission:
    job: Job
    replayed: bool  # the Idempotency-Key was known: this is the job it made before


def submit_job(session: Session, params: BaseModel, context: SubmissionContext) -> Submission:
    """Submit a job of the kind that takes these parameters."""
    spec = spec_of_params(params)
    prepare = spec.prepare
    if prepare is None:
        raise TypeError(f"a job of kind {spec.name} needs more than parameters")
    content = (spec.name, spec.identity(params))
    return submit(session, context, content, lambda: prepare(session, params, context))


def retry_job(
    session: Session,
    job_id: UUID,
    context: SubmissionContext,
    code: str | None = None,
    *,
    visible_to: str | None = None,
) -> Submission:
    """Submit a new job that takes up what an ended one has left undone; with `code` only what has failed with
    this error code.
    """

    def prepare() -> NewJob:
        old = get_job(session, job_id, visible_to=visible_to, hold=True)
        if old.state not in TERMINAL_JOB_STATES:
            raise JobNotFinished
        spec = job_spec(old.kind)
        if code is None:
            return spec.retry(session, old)
        if spec.retry_group is None:
            raise JobHasNoItems(f"A job of kind {old.kind} has no tracks to retry by their code.")
        return spec.retry_group(session, old, code)

    content = ("retry", str(job_id)) if code is None else ("retry", str(job_id), code)
    return submit(session, context, content, prepare)


def submit(
    session: Session, context: SubmissionContext, content: tuple[Any, ...], prepare: Callable[[], NewJob]
) -> Submission:
    """Insert what `prepare` returns, unless the same request has made a job before.

    `content` is the request as it was sent, before anything in it is looked up or filled in. The key is
    looked up before anything is checked: a repeated request is answered as the first one was, also when the
    folder, library, model or job that it names no longer exists. Raises IdempotencyKeyReused when the key
    came with other content, TooManyJobs when the owner has as many open jobs as allowed, and what `prepare`
    raises.
    """
    request_hash = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()
    known = _find_replay(session, context, request_hash)
    return known or _insert(session, context, request_hash, prepare())


def _find_replay(session: Session, context: SubmissionContext, request_hash: bytes) -> Submission | None:
    """The job that the same request has made before, None for a new one."""
    if context.idempotency_key is None:
        return None
    query = select(Job).where(Job.owner == context.owner, Job.idempotency_key == context.idempotency_key)
    known = session.scalars(query).one_or_none()
    if known is None:
        return None
    if known.request_hash != request_hash:
        raise IdempotencyKeyReused
    return Submission(known, replayed=True)


def _insert(session: Session, context: SubmissionContext, request_hash: bytes, new: NewJob) -> Submission:
    spec = job_spec(new.kind)
    spec.hold_references(session, new)
    row = {"id": new.id} if new.id is not None else {}
    created = session.scalars(
        insert(Job)
        .values(
            **row,
            kind=new.kind,
            params=new.params,
            total=new.total,
            library_id=new.library_id,
            model_id=new.model_id,
            retry_of=new.retry_of,
            owner=context.owner,
            state=JobState.QUEUED,
            idempotency_key=context.idempotency_key,
            request_hash=request_hash,
        )
        .on_conflict_do_nothing(index_elements=[Job.owner, Job.idempotency_key])
        .returning(Job)
    ).one_or_none()
    if created is None:
        # The job of the same request may have been deleted since, which has freed the key.
        known = _find_replay(session, context, request_hash)
        return known or _insert(session, context, request_hash, new)
    first = spec.first_unit
    queue = new.queue or first.queue
    session.add(JobUnit(job_id=created.id, seq=0, kind=first.name, queue=queue, payload=new.payload))
    session.flush()
    session.add_all(
        JobUnit(job_id=created.id, seq=seq, kind=unit.name, queue=unit.queue)
        for seq, unit in enumerate(spec.opening_units, start=1)
    )
    session.flush()
    if new.on_insert is not None:
        new.on_insert(session, created)
    notify_dispatcher(session)
    _check_cap(session, context)
    return Submission(created, replayed=False)


def _check_cap(session: Session, context: SubmissionContext) -> None:
    """Raise TooManyJobs when the new job is one too many; the caller's transaction is rolled back then.

    The lock makes submissions of one owner at the same moment see each other. It is the last one that a
    submission takes, so that no two wait for each other.
    """
    if context.max_open_jobs:
        locked = func.pg_advisory_xact_lock(func.hashtextextended(context.owner, OPEN_JOBS_LOCK))
        session.execute(select(locked))
        _refuse_at(context.max_open_jobs + 1, session, context)


def check_room(session: Session, context: SubmissionContext) -> None:
    """Raise TooManyJobs for a request that `submit` would refuse, before its upload is received.

    Without a lock, so not exact; a key that names an existing job is let through.
    """
    if not context.max_open_jobs:
        return
    known = exists().where(Job.owner == context.owner, Job.idempotency_key == context.idempotency_key)
    if context.idempotency_key is None or not session.scalar(select(known)):
        _refuse_at(context.max_open_jobs, session, context)


def _refuse_at(count: int, session: Session, context: SubmissionContext) -> None:
    opened = select(Job.id).where(Job.owner == context.owner, Job.state.in_(OPEN_JOB_STATES)).limit(count)
    if len(session.scalars(opened).all()) == count:
        raise TooManyJobs(
            f"This key may have {context.max_open_jobs} open jobs: wait until one has ended or cancel it."
        )
