"""Progress of jobs, from what they know of their ended units and from the rows of those that are being done.

However many units a job has, few are being done at a time.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.jobs.jobs import OPEN_JOB_STATES, OPEN_UNIT_STATES
from core.jobs.kinds import Progress, job_specs, unit_specs
from core.store.tables import Job, JobUnit

COUNTERS = (JobUnit.done, JobUnit.failed, JobUnit.skipped)


def get_progress(session: Session, jobs: Sequence[Job]) -> dict[UUID, Progress]:
    """Progress of several jobs, in a constant number of statements.

    A job that has been deleted since it was read is left out: some of its units may be gone.
    """
    by_id = {job.id: job for job in jobs}
    uncounted = {unit.name for unit in unit_specs() if not unit.is_counted}
    now = datetime.now(UTC)
    found = {}
    for job_id, ended, is_adding, *begun in session.execute(_counters(by_id, uncounted)):
        counted = [sums for kind, sums in ended.items() if kind not in uncounted]
        counts = [
            open_sum + sum(sums[counter.key] for sums in counted)
            for counter, open_sum in zip(COUNTERS, begun, strict=True)
        ]
        found[job_id] = _progress(by_id[job_id], *counts, is_adding=is_adding, now=now)
    for job_id, details in _describe(session, jobs, found):
        found[job_id] = replace(found[job_id], details=details)
    return found


def _counters(job_ids: Collection[UUID], uncounted: Collection[str]) -> Select[*tuple[Any, ...]]:
    """In one statement: a unit that ends meanwhile is either among the ended or among the open ones.

    What is skipped or refused while a job is planned counts before its unit begins.
    """
    is_open = (JobUnit.job_id == Job.id) & JobUnit.state.in_(OPEN_UNIT_STATES)
    is_counted = JobUnit.started_at.is_not(None) | (JobUnit.failed + JobUnit.skipped > 0)
    counted = (
        select(*(_sum(column, uncounted) for column in COUNTERS))
        .where(is_open, is_counted)
        .correlate(Job)
        .lateral()
    )
    adding = [unit.name for unit in unit_specs() if unit.adds_units]
    is_adding = select(JobUnit.id).where(is_open, JobUnit.kind.in_(adding), JobUnit.seq < _most_opening())
    sums = select(Job.id, Job.ended, is_adding.correlate(Job).exists(), *counted.c)
    return sums.join_from(Job, counted, true()).where(Job.id.in_(job_ids))


def _sum(column: InstrumentedAttribute[int], uncounted: Collection[str]) -> ColumnElement[int]:
    total = func.sum(column).filter(JobUnit.kind.not_in(uncounted))
    return func.coalesce(total, 0).label(column.key)


def _most_opening() -> int:
    """How many units a job is submitted with at most: only these add others."""
    return max(1 + len(spec.opening_units) for spec in job_specs())


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


def _progress(job: Job, done: int, failed: int, skipped: int, *, is_adding: bool, now: datetime) -> Progress:
    outcomes = done + failed + skipped
    worked = done + failed
    elapsed_s = ((job.finished_at or now) - job.started_at).total_seconds() if job.started_at else 0.0
    rate = worked / elapsed_s if worked and elapsed_s > 0 else None
    is_known = not is_adding
    percent = 100 * outcomes / job.total if job.total else 100.0
    is_open = job.state in OPEN_JOB_STATES
    return Progress(
        total=job.total,
        done=done,
        failed=failed,
        skipped=skipped,
        percent=round(percent, 1) if is_known else None,
        rate_per_s=round(rate, 3) if rate else None,
        eta_s=round((job.total - outcomes) / rate, 1) if is_known and rate and is_open else None,
    )
