"""What is deleted when it is old: jobs of which nobody will ask any more. Results, models and runs stay."""

from datetime import timedelta

from sqlalchemy import delete, exists, func, select
from sqlalchemy.orm import Session, aliased

from core.db.tables import Job, JobUnit
from core.params import JobKind
from core.services.jobs import OPEN_JOB_STATES
from core.states import TERMINAL_JOB_STATES

SHORT_LIVED = (
    JobKind.ANALYSIS,
    JobKind.PREDICT,
)  # the state of a run is that of its job, which stays with it
BATCH = 100  # jobs, and units of theirs with at most some hundred items each


def delete_old_jobs(session: Session, days: int, batch: int = BATCH) -> bool:
    """Delete the oldest jobs that ended so long ago, with as many of their units as a batch has.

    A job goes with the last of its units; predictions belong to the tracks and are kept. False when no job is
    old.
    """
    retry = aliased(Job)
    is_being_retried = exists().where(retry.retry_of == Job.id, retry.state.in_(OPEN_JOB_STATES))
    old = session.scalars(
        select(Job.id)
        .where(
            ~is_being_retried,
            Job.kind.in_(SHORT_LIVED),
            Job.state.in_(TERMINAL_JOB_STATES),
            Job.finished_at < func.now() - timedelta(days=days),
        )
        .order_by(Job.created_at, Job.id)
        .limit(batch)
        .with_for_update(of=Job, skip_locked=True)
    ).all()
    units = select(JobUnit.id).where(JobUnit.job_id.in_(old)).limit(batch)
    session.execute(delete(JobUnit).where(JobUnit.id.in_(units)))
    has_units = exists().where(JobUnit.job_id == Job.id)
    session.execute(delete(Job).where(Job.id.in_(old), ~has_units))
    return bool(old)
