"""What is going on in a job: its open units, what they wait for, and what the ended ones took."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.jobs.jobs import OPEN_JOB_STATES, OPEN_UNIT_STATES
from core.jobs.space import shortage_of
from core.jobs.workers import DISPATCHER, is_alive, slots_by_queue
from core.states import UnitState
from core.store.tables import Job, JobUnit

MOST_MEASURED = 200  # ended units


@dataclass(frozen=True)
class JobActivity:
    units: dict[str, int]  # open ones, by state
    waits_for: list[str]  # sentences; none while a worker is at it, or when the job has ended
    stage_s: dict[str, float]  # seconds of work by stage, of the first ended units
    measured_units: int


def describe_activity(session: Session, job: Job) -> JobActivity:
    """At a cost that does not grow with the work that the job has done."""
    waiting = list(_open_units(session, job.id)) if job.state in OPEN_JOB_STATES else []
    units: Counter[str] = Counter()
    for unit in waiting:
        units[unit.state] += unit.count
    is_idle = bool(units) and not units[UnitState.RUNNING]
    stage_s, measured = _measure_stages(session, job.id)
    return JobActivity(dict(units), list(_explain(session, waiting)) if is_idle else [], stage_s, measured)


def _open_units(session: Session, job_id: UUID) -> Iterator[Any]:
    """Of each queue and state: how many, seconds until the first may begin, and the last error of one."""
    until_s = func.extract("epoch", func.min(JobUnit.run_after) - func.clock_timestamp())
    groups = select(
        JobUnit.queue,
        JobUnit.state,
        func.count().label("count"),
        until_s.label("until_s"),
        func.max(JobUnit.last_error).label("last_error"),
    ).where(JobUnit.job_id == job_id, JobUnit.state.in_(OPEN_UNIT_STATES))
    yield from session.execute(groups.group_by(JobUnit.queue, JobUnit.state).order_by(JobUnit.queue))


def _explain(session: Session, waiting: list[Any]) -> Iterator[str]:
    if shortage := shortage_of(session):
        yield shortage
        return
    if not is_alive(session, DISPATCHER):
        yield "No dispatcher runs, which hands work to the workers."
        return
    slots = slots_by_queue(session)
    for queue in sorted({unit.queue for unit in waiting}):
        of_queue = [unit for unit in waiting if unit.queue == queue]
        until_s = min(float(unit.until_s) for unit in of_queue)
        error = next((unit.last_error for unit in of_queue if unit.last_error), None)
        if not slots.get(queue):
            yield f"No worker takes from the queue {queue!r}."
        elif until_s > 0 and error is not None:
            yield f"After an error it is tried again in {until_s:.0f} s: {error}"
        elif until_s > 0:
            yield f"It is tried again in {until_s:.0f} s."
        elif ahead := _count_ahead(session, queue):
            yield f"All workers of the queue {queue!r} are busy. Other units running: {ahead}."
        else:
            yield f"It is about to begin: a worker of the queue {queue!r} is free."


def _count_ahead(session: Session, queue: str) -> int:
    at_work = select(func.count()).where(JobUnit.queue == queue, JobUnit.state == UnitState.RUNNING)
    return session.scalar(at_work) or 0


def _measure_stages(session: Session, job_id: UUID) -> tuple[dict[str, float], int]:
    ended = (
        select(JobUnit.timings)
        .where(JobUnit.job_id == job_id, JobUnit.state == UnitState.DONE, JobUnit.timings != {})
        .order_by(JobUnit.seq)
        .limit(MOST_MEASURED)
    )
    sums: Counter[str] = Counter()
    measured = session.scalars(ended).all()
    for timings in measured:
        sums.update({stage: float(took_s) for stage, took_s in timings.items()})
    return {stage: round(took_s, 2) for stage, took_s in sums.most_common()}, len(measured)
