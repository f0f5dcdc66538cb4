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
BATCH = 100  # units, of at most some hundred items each


def delete_old_job(session: Session, days: int, batch: int = BATCH) -> bool:
    """Delete the oldest job that ended so long ago, or the next of its units when it has many.

    False when there is none. Its predictions belong to the tracks and are kept.
    """
    retry = aliased(Job)
    is_being_retried = exists().where(retry.retry_of == Job.id, retry.state.in_(OPEN_JOB_STATES))
    job_id = session.scalar(
        select(Job.id)
        .where(
            ~is_being_retried,
            Job.kind.in_(SHORT_LIVED),
            Job.state.in_(TERMINAL_JOB_STATES),
            Job.finished_at < func.now() - timedelta(days=days),
        )
        .order_by(Job.created_at, Job.id)
        .limit(1)
        .with_for_update(of=Job, skip_locked=True)
    )
    if job_id is None:
        return False
    units = session.scalars(select(JobUnit.id).where(JobUnit.job_id == job_id).limit(batch + 1)).all()
    session.execute(delete(JobUnit).where(JobUnit.id.in_(units[:batch])))
    if len(units) <= batch:
        session.execute(delete(Job).where(Job.id == job_id))
    return True
