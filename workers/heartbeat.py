"""Heartbeat of a worker: its row says which queues it reads, with how many slots, and whether it drains.

Also reports pool children that died, so that their units need not wait for the lease to run out.
"""

import logging
import threading
from typing import Any

from celery import signals
from sqlalchemy.exc import SQLAlchemyError

from core.jobs.claims import expire_lease
from core.jobs.workers import record_heartbeat, remove_worker
from core.settings import get_settings
from core.store.session import SessionFactory, create_database_engine, create_session_factory, transaction
from workers.forking import NO_FORK
from workers.liveness import QUEUE_PREFIX

log = logging.getLogger(__name__)
HEARTBEAT_EVERY_S = 10.0


class Heartbeat:
    """Runs in a thread of the pool's parent process."""

    def __init__(self, name: str, queues: list[str], slots: int, sessions: SessionFactory) -> None:
        self.sessions = sessions
        self._row = (name, queues, slots)
        self._draining = threading.Event()
        self._changed = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def drain(self) -> None:
        """Callable from a signal handler: only sets flags, the thread writes."""
        self._draining.set()
        self._changed.set()

    def stop(self) -> None:
        self._stopped = True
        self._changed.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stopped:
            with NO_FORK:
                self._write()
            self._changed.wait(HEARTBEAT_EVERY_S)
            self._changed.clear()
        with transaction(self.sessions) as session:
            remove_worker(session, self._row[0])

    def _write(self) -> None:
        try:
            with transaction(self.sessions) as session:
                record_heartbeat(session, *self._row, draining=self._draining.is_set())
        except SQLAlchemyError as error:
            log.warning("the heartbeat cannot be written: %s", error)


_heartbeat: Heartbeat | None = None


@signals.worker_ready.connect
def _start(sender: Any, **_: Any) -> None:
    global _heartbeat
    sessions = create_session_factory(create_database_engine(get_settings().database_url, pool_size=1))
    worker = sender.controller
    consumed = [queue.name for queue in worker.app.amqp.queues.consume_from.values()]
    queues = [name for name in consumed if not name.startswith(QUEUE_PREFIX)]
    _heartbeat = Heartbeat(worker.hostname, queues, worker.concurrency, sessions)


@signals.worker_process_init.connect
def _forget(**_: Any) -> None:
    """A pool child is another process: it must not use its parent's connection."""
    global _heartbeat
    _heartbeat = None


@signals.worker_shutting_down.connect
def _drain(**_: Any) -> None:
    if _heartbeat is not None:
        _heartbeat.drain()


@signals.worker_shutdown.connect
def _stop(**_: Any) -> None:
    if _heartbeat is not None:
        _heartbeat.stop()


@signals.task_failure.connect
def _report_dead_child(task_id: str, exception: BaseException, **_: Any) -> None:
    """Runs in the parent when a child died (or was killed at the time limit) and its task with it."""
    if _heartbeat is not None:
        # SIGKILL comes from outside, though it may be the kernel's answer to a track that takes all memory.
        crashed = "SIGKILL" not in str(exception)
        with transaction(_heartbeat.sessions) as session:
            expire_lease(session, task_id, crashed=crashed)
