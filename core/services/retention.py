"""What is deleted when it is old: jobs of which nobody will ask any more. Results, models and runs stay."""

from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.config.params import JobKind
from core.services.changes import is_being_retried, mark_jobs
from core.states import TERMINAL_JOB_STATES
from core.store.tables import Job

SHORT_LIVED = (
    JobKind.ANALYSIS,
    JobKind.PREDICT,
)  # the state of a run is that of its job, which stays with it
BATCH = 100  # jobs


def delete_old_jobs(session: Session, days: int, batch: int = BATCH) -> int:
    """Mark the oldest jobs that ended so many days ago as deleted, at most `batch`; how many there were.

    A job that an open one retries is kept until that has ended.
    """
    old = (
        select(Job.id)
        .where(
            ~is_being_retried(),
            Job.kind.in_(SHORT_LIVED),
            Job.state.in_(TERMINAL_JOB_STATES),
            Job.finished_at < func.now() - timedelta(days=days),
        )
        .order_by(Job.created_at, Job.id)
        .limit(batch)
        .with_for_update(of=Job, skip_locked=True)
    )
    locked = session.scalars(old).all()
    # Asked again under the lock: a retry may have been committed since the first look.
    free = session.scalars(select(Job.id).where(Job.id.in_(locked), ~is_being_retried())).all()
    mark_jobs(session, list(free))
    return len(free)
