"""The dispatcher: publishes ready units, requeues those the broker lost, reaps expired leases.

Now and then it also deletes what is old, and submits trainings of models that are to be trained again.

Run it as `python -m workers.dispatcher`. Any number may run: rows are taken with SKIP LOCKED.
"""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from pathlib import Path
from uuid import UUID

from celery import Celery
from kombu.exceptions import OperationalError as PublishError
from redis.exceptions import RedisError
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from core.failpoints import failpoint
from core.jobs.dispatch import TaskMessage, ready_queues, requeue_lost, take_ready
from core.jobs.endings import finish_complete_jobs
from core.jobs.jobs import OPEN_JOB_STATES, has_open_jobs
from core.jobs.kinds import job_specs
from core.jobs.queue import Broker, make_celery, publish
from core.jobs.reaping import cancel_waiting, reap_expired
from core.jobs.space import SpaceCheck
from core.jobs.workers import DISPATCHER, record_heartbeat, remove_dead_workers, remove_worker, slots_by_queue
from core.logs import configure_logging
from core.services.kinds import register_kinds
from core.services.retention import BATCH, delete_old_jobs
from core.services.retraining import find_enabled, note_failure, retrain_if_due
from core.settings import Settings, get_settings
from core.store.browser_sessions import delete_expired_sessions
from core.store.session import SessionFactory, create_database_engine, create_session_factory, transaction
from core.store.tables import Job
from core.store.track_counts import add_up_counts
from workers.leftovers import remove_job_folders, remove_staging
from workers.notifications import NotificationListener
from workers.sweeper import Sweeper

log = logging.getLogger("workers.dispatcher")

TICK_S = 1.0  # between two rounds while a job is open, at most
WINDOW_PER_SLOT = 4  # published units per slot: enough to keep every slot busy, few enough to be fair
LOST_AFTER_S = 5.0  # a message that is not in the broker and not claimed after this time is lost
SWEEP_EVERY_S = 60.0
SWEEP_AGAIN_S = 5.0  # while the last one left something to remove
RETRAIN_EVERY_S = 60.0
HEARTBEAT_EVERY_S = 10.0
DELETE_FOR_S = 1.0  # at most in one sweep, as nothing is dispatched meanwhile
ORPHAN_UPLOAD_S = 3600.0


class Dispatcher:
    def __init__(self, settings: Settings) -> None:
        self.engine = create_database_engine(settings.database_url, pool_size=2)
        self.sessions: SessionFactory = create_session_factory(self.engine)
        self.celery: Celery = make_celery(settings)
        self.broker = Broker(settings)
        self.uploads_dir = settings.uploads_dir
        self.training_dir = settings.training_dir
        self.models_dir = settings.models_dir
        self.data_dir = settings.data_dir
        self.keep_jobs_days = settings.keep_jobs_days
        self.space = SpaceCheck(settings, self.sessions)
        self.shortage: str | None = None
        self.sweeper = Sweeper(self.sessions, settings)
        self.is_behind = False  # with removing what has been deleted, or adding up counts
        self.name = f"{DISPATCHER}{os.getpid()}@{socket.gethostname()}"
        self.is_at_rest = False  # no job is open
        self.next_heartbeat = 0.0

    def tick(self) -> bool:
        """One round; whether every step succeeded. A step that fails does not keep the others from running.

        Nothing is remembered from one round to the next but the broker's generation, and whether no job was
        open: then nothing is to be done as long as none is.
        """
        was_at_rest, self.is_at_rest = self.is_at_rest, False
        steps = [self._find_rest, self._settle, self._publish]
        return all([succeeds(step) for step in steps if not (was_at_rest and self.is_at_rest)])

    def _publish(self) -> None:
        self._requeue_lost()
        if self._is_short_of_space():
            return
        for message in self._take_ready():
            # What cannot be published counts as lost a few seconds later and is requeued.
            failpoint("dispatcher-marked")
            publish(self.celery, message.kind, message.queue, message.unit_id)
            if message.is_urgent:
                self.broker.move_to_front(message.queue)
            failpoint("dispatcher-published")

    def _find_rest(self) -> None:
        """While no job is open nothing can become due: neither a lease nor a unit nor a lost message."""
        with self.sessions() as session:
            self.is_at_rest = not has_open_jobs(session)

    def _is_short_of_space(self) -> bool:
        """Whether work must wait; every change is logged."""
        before, self.shortage = self.shortage, self.space.find_shortage()
        if self.shortage is not None and before is None:
            log.warning("nothing is published: %s", self.shortage)
        elif self.shortage is None and before is not None:
            log.info("there is disk space again")
        return self.shortage is not None

    def _settle(self) -> None:
        with transaction(self.sessions) as session:
            cancel_waiting(session)
            reaped = reap_expired(session)
            if reaped:
                failpoint("dispatcher-reaped")
        if reaped:
            log.warning("%d units lost their worker and are requeued", reaped)
        with transaction(self.sessions) as session:
            finish_complete_jobs(session)

    def _requeue_lost(self) -> None:
        was_reset = self.broker.was_reset()
        waiting = self.broker.waiting_units()
        with transaction(self.sessions) as session:
            if was_reset:
                lost = requeue_lost(session, older_than_s=0)
            else:
                lost = requeue_lost(session, still_there=waiting, older_than_s=LOST_AFTER_S)
        if lost:
            log.warning("%d task messages were lost and are published again", lost)

    def _take_ready(self) -> list[TaskMessage]:
        with transaction(self.sessions) as session:
            ready = ready_queues(session)
            # At least one slot per queue, so that a worker that starts later finds its work waiting.
            slots = dict.fromkeys(ready, 1) | slots_by_queue(session) if ready else {}
            taken = [take_ready(session, queue, WINDOW_PER_SLOT * slots[queue]) for queue in ready]
        return list(chain.from_iterable(taken))

    def send_heartbeat(self) -> None:
        """Record that rounds are made, every few seconds."""
        if time.monotonic() < self.next_heartbeat:
            return
        with transaction(self.sessions) as session:
            record_heartbeat(session, self.name, [], 0, draining=False)
        self.next_heartbeat = time.monotonic() + HEARTBEAT_EVERY_S

    def sign_off(self) -> None:
        with transaction(self.sessions) as session:
            remove_worker(session, self.name)

    def sweep(self) -> None:
        """Housekeeping that may be late: dead workers, sums of counts, files that no open job needs."""
        with transaction(self.sessions) as session:
            remove_dead_workers(session)
            delete_expired_sessions(session)
            has_counts = add_up_counts(session)
            wanted = set(session.scalars(select(Job.id).where(Job.state.in_(OPEN_JOB_STATES))))
            temporary = set(session.scalars(select(Job.id).where(Job.kind.in_(_without_checkpoints()))))
        for upload in self.uploads_dir.glob("*"):
            if upload.is_file() and _is_orphan(upload, wanted, ORPHAN_UPLOAD_S):
                upload.unlink(missing_ok=True)
        remove_staging(self.models_dir)
        remove_job_folders(self.training_dir, wanted, temporary)
        has_old = self._delete_old_jobs()
        self.is_behind = self.sweeper.sweep(DELETE_FOR_S) or has_old or has_counts

    def retrain(self) -> None:
        """Submit trainings of models of which enough tracks have been corrected; see `retrain_if_due`."""
        with self.sessions() as session:
            names = find_enabled(session)
        for name in names:
            try:
                with transaction(self.sessions) as session:
                    job = retrain_if_due(session, name, self.data_dir)
            except Exception:  # must not keep the others from being trained
                log.exception("%s could not be trained again", name)
                with transaction(self.sessions) as session:
                    note_failure(session, name)
                continue
            if job is not None:
                log.info("%s is trained again: job %s", name, job.id)

    def _delete_old_jobs(self) -> bool:
        """Mark old jobs as deleted for a bounded time, a batch per transaction; whether there may be more."""
        until = time.monotonic() + DELETE_FOR_S
        total = deleted = 0
        while self.keep_jobs_days:
            with transaction(self.sessions) as session:
                deleted = delete_old_jobs(session, self.keep_jobs_days)
            total += deleted
            if deleted < BATCH or time.monotonic() >= until:
                break
        if total:
            log.info("deleted %d jobs that ended more than %d days ago", total, self.keep_jobs_days)
        return deleted == BATCH

    def close(self) -> None:
        self.celery.close()
        self.broker.close()
        self.engine.dispose()


def succeeds(step: Callable[[], None]) -> bool:
    """Run a step; whether it succeeded. A failure is logged, and must not keep other units from dispatch."""
    try:
        step()
    except (DBAPIError, RedisError, PublishError) as error:
        log.warning("a service is away, trying again: %s", error)
        return False
    except Exception:
        log.exception("%s failed, trying again", step.__name__)
        return False
    return True


def _without_checkpoints() -> list[str]:
    """Kinds of jobs whose folders no retry needs; those that expire have none."""
    return [spec.name for spec in job_specs() if not spec.keeps_checkpoints and not spec.expires]


def _is_orphan(path: Path, open_jobs: set[UUID], kept_s: float) -> bool:
    """An upload is written before its job's row is, so a recent one without a job may still get one.

    Files that are not named like a job are left alone.
    """
    try:
        is_old = time.time() - path.stat().st_mtime > kept_s
        return is_old and UUID(path.name) not in open_jobs
    except (ValueError, FileNotFoundError):
        return False


def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. No temporary failure ends it."""
    stop = threading.Event()
    dispatcher, listener = Dispatcher(settings), NotificationListener(settings.database_url)

    def request_stop(*_: object) -> None:
        stop.set()
        listener.wake()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, request_stop)
    next_sweep = next_retraining = 0.0
    while not stop.is_set():
        succeeded = dispatcher.tick() & succeeds(dispatcher.send_heartbeat)
        if time.monotonic() >= next_sweep:
            succeeded &= succeeds(dispatcher.sweep)
            next_sweep = time.monotonic() + (SWEEP_AGAIN_S if dispatcher.is_behind else SWEEP_EVERY_S)
        if time.monotonic() >= next_retraining:
            succeeded &= succeeds(dispatcher.retrain)
            next_retraining = time.monotonic() + RETRAIN_EVERY_S
        if not succeeded:
            stop.wait(1.0)
        next_due = min(dispatcher.next_heartbeat, next_sweep, next_retraining)
        listener.wait(max(next_due - time.monotonic(), 0) if dispatcher.is_at_rest else TICK_S)
    with suppress(DBAPIError):
        dispatcher.sign_off()
    dispatcher.close()
    listener.close()  # last, as a signal may still wake it


if __name__ == "__main__":
    configure_logging(get_settings())
    register_kinds()
    run(get_settings())
