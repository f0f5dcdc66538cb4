"""Workers and dispatchers that have been heard of lately."""

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.jobs.units import seconds
from core.store.tables import Worker

SILENT_AFTER_S = 30.0
DISPATCHER = "dispatcher-"  # how a dispatcher's name begins; it takes from no queue


def beat(session: Session, name: str, queues: list[str], slots: int, *, draining: bool) -> None:
    """A worker says that it lives; one that drains offers no slots any more."""
    statement = insert(Worker).values(name=name, queues=queues, slots=slots, draining=draining)
    heard = {"queues": queues, "slots": slots, "draining": draining, "beat_at": func.now()}
    session.execute(statement.on_conflict_do_update(index_elements=[Worker.name], set_=heard))


def is_draining(session: Session, name: str) -> bool:
    return bool(session.scalar(select(Worker.draining).where(Worker.name == name)))


def remove_worker(session: Session, name: str) -> None:
    session.execute(delete(Worker).where(Worker.name == name))


def forget_silent(session: Session) -> None:
    """Drop workers that have been silent for an hour."""
    session.execute(delete(Worker).where(Worker.beat_at < func.now() - seconds(3600)))


def _heard() -> ColumnElement[bool]:
    return Worker.beat_at > func.now() - seconds(SILENT_AFTER_S)


def count_workers(session: Session) -> int:
    living = select(func.count()).where(_heard(), ~Worker.name.startswith(DISPATCHER))
    return session.scalar(living) or 0


def is_heard(session: Session, name: str) -> bool:
    """Whether one lives whose name begins or ends like that: `dispatcher-`, `@host`."""
    named = Worker.name.startswith(name, autoescape=True) | Worker.name.endswith(name, autoescape=True)
    return session.scalar(select(select(Worker.name).where(_heard(), named).exists())) or False


def measure_heartbeats(session: Session) -> dict[str, float]:
    """Seconds since each was heard of last, by name; who has been silent for long is forgotten."""
    silent_s = func.extract("epoch", func.clock_timestamp() - Worker.beat_at)
    return {name: float(age) for name, age in session.execute(select(Worker.name, silent_s))}


def slots_by_queue(session: Session) -> dict[str, int]:
    """How many units the living workers can do at a time, per queue."""
    queue = func.unnest(Worker.queues).label("queue")
    offered = select(queue, Worker.slots).where(_heard(), Worker.draining.is_(False)).subquery()
    rows = session.execute(select(offered.c.queue, func.sum(offered.c.slots)).group_by(offered.c.queue))
    return {name: int(slots) for name, slots in rows}
