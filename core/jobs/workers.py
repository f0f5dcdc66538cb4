"""Heartbeats of workers and dispatchers: who is alive, and what they offer."""

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.store.clock import seconds
from core.store.tables import Worker

DEAD_AFTER_S = 30.0  # without a heartbeat
KEPT_S = 3600.0  # the row of one that is dead
DISPATCHER = "dispatcher-"  # how a dispatcher's name begins; it consumes no queue


def record_heartbeat(session: Session, name: str, queues: list[str], slots: int, *, draining: bool) -> None:
    """Insert or refresh a worker's row; one that drains offers no slots any more."""
    statement = insert(Worker).values(name=name, queues=queues, slots=slots, draining=draining)
    refreshed = {"queues": queues, "slots": slots, "draining": draining, "beat_at": func.now()}
    session.execute(statement.on_conflict_do_update(index_elements=[Worker.name], set_=refreshed))


def is_draining(session: Session, name: str) -> bool:
    return bool(session.scalar(select(Worker.draining).where(Worker.name == name)))


def remove_worker(session: Session, name: str) -> None:
    session.execute(delete(Worker).where(Worker.name == name))


def remove_dead_workers(session: Session) -> None:
    """Drop those without a heartbeat for an hour."""
    session.execute(delete(Worker).where(Worker.beat_at < func.now() - seconds(KEPT_S)))


def _has_heartbeat() -> ColumnElement[bool]:
    return Worker.beat_at > func.now() - seconds(DEAD_AFTER_S)


def count_workers(session: Session) -> int:
    alive = select(func.count()).where(_has_heartbeat(), ~Worker.name.startswith(DISPATCHER))
    return session.scalar(alive) or 0


def is_alive(session: Session, name: str) -> bool:
    """Whether there is a heartbeat of one whose name begins or ends like that: `dispatcher-`, `@host`."""
    named = Worker.name.startswith(name, autoescape=True) | Worker.name.endswith(name, autoescape=True)
    return session.scalar(select(select(Worker.name).where(_has_heartbeat(), named).exists())) or False


def measure_heartbeats(session: Session) -> dict[str, float]:
    """Seconds since the last heartbeat of each, by name."""
    age_s = func.extract("epoch", func.clock_timestamp() - Worker.beat_at)
    return {name: float(age) for name, age in session.execute(select(Worker.name, age_s))}


def slots_by_queue(session: Session) -> dict[str, int]:
    """How many units the living workers can do at a time, per queue."""
    queue = func.unnest(Worker.queues).label("queue")
    offered = select(queue, Worker.slots).where(_has_heartbeat(), Worker.draining.is_(False)).subquery()
    rows = session.execute(select(offered.c.queue, func.sum(offered.c.slots)).group_by(offered.c.queue))
    return {name: int(slots) for name, slots in rows}
