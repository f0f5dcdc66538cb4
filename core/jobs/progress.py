"""Progress of jobs, summed from the counters of their units."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.jobs.jobs import OPEN_JOB_STATES, OPEN_UNIT_STATES
from core.jobs.kinds import Progress, job_specs, unit_specs
from core.store.tables import Job, JobUnit


def get_progress(session: Session, jobs: Sequence[Job]) -> dict[UUID, Progress]:
    """Progress of several jobs, in a constant number of statements.

    A job that has been deleted since it was read is left out: some of its units may be gone.
    """
    adding = [unit.name for unit in unit_specs() if unit.adds_units]
    uncounted = [unit.name for unit in unit_specs() if not unit.is_counted]
    is_adding = JobUnit.kind.in_(adding) & JobUnit.state.in_(OPEN_UNIT_STATES)
    sums = session.execute(
        select(
            JobUnit.job_id,
            *(_counted(column, uncounted) for column in (JobUnit.done, JobUnit.failed, JobUnit.skipped)),
            func.bool_or(is_adding).label("is_adding"),
        )
        .join(Job, Job.id == JobUnit.job_id)
        .where(JobUnit.job_id.in_([job.id for job in jobs]))
        .group_by(JobUnit.job_id)
    )
    by_job = {row.job_id: row for row in sums}
    now = datetime.now(UTC)
    found = {job.id: _progress(job, by_job[job.id], now) for job in jobs if job.id in by_job}
    for job_id, details in _describe(session, jobs, found):
        found[job_id] = replace(found[job_id], details=details)
    return found


def _counted(column: InstrumentedAttribute[int], uncounted: Sequence[str]) -> ColumnElement[int]:
    total = func.sum(column).filter(JobUnit.kind.not_in(uncounted))
    return func.coalesce(total, 0).label(column.key)


def _describe(
    session: Session, jobs: Sequence[Job], found: Mapping[UUID, Progress]
) -> list[tuple[UUID, dict[str, Any]]]:
    """What the kinds of these jobs add, by job."""
    described: list[tuple[UUID, dict[str, Any]]] = []
    for spec in job_specs():
        of_kind = [job for job in jobs if job.kind == spec.name and job.id in found]
        if of_kind and spec.describe_progress is not None:
            described += spec.describe_progress(session, of_kind, found).items()
    return described


def _progress(job: Job, sums: Any, now: datetime) -> Progress:
    outcomes = sums.done + sums.failed + sums.skipped
    worked = sums.done + sums.failed
    elapsed_s = ((job.finished_at or now) - job.started_at).total_seconds() if job.started_at else 0.0
    rate = worked / elapsed_s if worked and elapsed_s > 0 else None
    is_known = not sums.is_adding
    percent = 100 * outcomes / job.total if job.total else 100.0
    is_open = job.state in OPEN_JOB_STATES
    return Progress(
        total=job.total,
        done=sums.done,
        failed=sums.failed,
        skipped=sums.skipped,
        percent=round(percent, 1) if is_known else None,
        rate_per_s=round(rate, 3) if rate else None,
        eta_s=round((job.total - outcomes) / rate, 1) if is_known and rate and is_open else None,
    )
