"""Retention: old jobs of kinds that expire are deleted. Results, models and runs stay."""

from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.jobs.kinds import job_specs
from core.services.changes import is_being_retried, mark_jobs
from core.states import TERMINAL_JOB_STATES
from core.store.tables import Job

BATCH = 100  # jobs


def delete_old_jobs(session: Session, days: int, batch: int = BATCH) -> int:
    """Mark up to `batch` of the oldest jobs that ended at least `days` ago as deleted; how many there were.

    A job that an open one retries is kept until that has ended.
    """
    old = (
        select(Job.id)
        .where(
            ~is_being_retried(),
            Job.kind.in_([spec.name for spec in job_specs() if spec.expires]),
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
