"""Jobs as rows: look up, list, cancel."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, func, select, tuple_
from sqlalchemy.orm import Session

from core.errors import JobAlreadyEnded, JobNotFound
from core.states import TERMINAL_JOB_STATES, TERMINAL_UNIT_STATES, JobState, UnitState
from core.store.cursor import Page, cut_page, decode_cursor
from core.store.ids import id_starts_with
from core.store.tables import Job

UNITS_CHANNEL = "mfa_units"
OPEN_JOB_STATES = tuple(state for state in JobState if state not in TERMINAL_JOB_STATES)
OPEN_UNIT_STATES = tuple(state for state in UnitState if state not in TERMINAL_UNIT_STATES)


def notify_dispatcher(session: Session) -> None:
    """Wake the dispatcher when this transaction commits.

    Without it, the next round finds the unit: within a second while a job is open, otherwise within ten.
    """
    session.execute(select(func.pg_notify(bindparam("channel", UNITS_CHANNEL), "")))


def has_open_jobs(session: Session) -> bool:
    return bool(session.scalar(select(select(Job.id).where(Job.state.in_(OPEN_JOB_STATES)).exists())))


def get_job(
    session: Session,
    job_id: UUID,
    *,
    visible_to: str | None = None,
    lock: bool = False,
    hold: bool = False,
) -> Job:
    """A job; one of another owner than `visible_to` (None: anybody's) does not exist.

    Until the transaction ends, `lock` keeps others from writing the row, `hold` only from deleting it.
    """
    query = select(Job).where(Job.id == job_id)
    if lock or hold:
        query = query.with_for_update(read=hold, key_share=hold).execution_options(populate_existing=True)
    if visible_to is not None:
        query = query.where(Job.owner == visible_to)
    job = session.scalars(query).one_or_none()
    if job is None:
        raise JobNotFound
    return job


def list_jobs(
    session: Session,
    cursor: str | None,
    limit: int,
    state: JobState | None = None,
    *,
    kind: str | None = None,
    library_id: UUID | None = None,
    visible_to: str | None = None,
    id_prefix: str | None = None,
) -> Page[Job]:
    """Newest first."""
    query = select(Job).order_by(Job.created_at.desc(), Job.id.desc()).limit(limit + 1)
    if id_prefix is not None:
        query = query.where(id_starts_with(Job.id, id_prefix))
    if visible_to is not None:
        query = query.where(Job.owner == visible_to)
    if state is not None:
        query = query.where(Job.state == state)
    if kind is not None:
        query = query.where(Job.kind == kind)
    if library_id is not None:
        query = query.where(Job.library_id == library_id)
    if cursor is not None:
        key = decode_cursor(cursor, datetime.fromisoformat, UUID)
        query = query.where(tuple_(Job.created_at, Job.id) < key)
    return cut_page(session.scalars(query).all(), limit, lambda job: (job.created_at, job.id))


def cancel_job(session: Session, job_id: UUID, *, visible_to: str | None = None) -> Job:
    """Ask for a stop; workers see it within seconds, and what is done by then is kept."""
    job = get_job(session, job_id, visible_to=visible_to, lock=True)
    if job.state in (JobState.SUCCEEDED, JobState.FAILED):
        raise JobAlreadyEnded
    if job.state in (JobState.QUEUED, JobState.RUNNING):
        job.state = JobState.CANCELLING
        session.flush()
        notify_dispatcher(session)
    return job
