"""The dispatcher: rings doorbells for ready units, takes back lost ones, reaps expired leases.

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

import psycopg
from celery import Celery
from kombu.exceptions import OperationalError as PublishError
from redis.exceptions import RedisError
from sqlalchemy import make_url, select
from sqlalchemy.exc import DBAPIError

from core.config.params import JobKind
from core.failpoints import crash_point
from core.jobs.dispatch import Doorbell, take_back, take_ready
from core.jobs.jobs import OPEN_JOB_STATES, UNITS_CHANNEL, finish_complete_jobs
from core.jobs.queue import QUEUES, Broker, make_celery, ring
from core.jobs.units import cancel_waiting, reap_expired
from core.jobs.workers import DISPATCHER, beat, forget_silent, remove_worker, slots_by_queue
from core.logs import configure_logging
from core.services.retention import BATCH, delete_old_jobs
from core.settings import Settings, get_settings
from core.store.session import SessionFactory, create_database_engine, create_session_factory, transaction
from core.store.tables import Job
from workers.leftovers import remove_job_folders, remove_staging
from workers.sweeper import Sweeper

log = logging.getLogger("workers.dispatcher")

TICK_S = 1.0  # how long a unit waits at most when no notification wakes the dispatcher
WINDOW_PER_SLOT = 4  # units on their way per slot: enough for no slot to wait, little enough to be fair
LOST_AFTER_S = 5.0  # a doorbell neither in the broker nor answered for so long is lost
SWEEP_EVERY_S = 60.0
SWEEP_AGAIN_S = 5.0  # while the last one left something to remove
BEAT_EVERY_S = 10.0
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
        self.keep_jobs_days = settings.keep_jobs_days
        self.sweeper = Sweeper(self.sessions, settings)
        self.is_behind = False  # with removing what has been deleted
        self.name = f"{DISPATCHER}{os.getpid()}@{socket.gethostname()}"
        self.next_beat = 0.0

    def tick(self) -> bool:
        """One round; whether all of it went well. However a step fails, the others are taken.

        Nothing is remembered from one round to the next but the broker's epoch.
        """
        return all([succeeds(step) for step in (self._settle, self._ring)])

    def _ring(self) -> None:
        self._take_back_lost()
        for doorbell in self._take_ready():
            # What cannot be published is found lost a few seconds later and taken back.
            crash_point("dispatcher-marked")
            ring(self.celery, doorbell.kind, doorbell.queue, doorbell.unit_id)
            if doorbell.is_again:
                self.broker.bring_forward(doorbell.queue)
            crash_point("dispatcher-published")

    def _settle(self) -> None:
        with transaction(self.sessions) as session:
            cancel_waiting(session)
            reaped = reap_expired(session)
            if reaped:
                crash_point("dispatcher-reaped")
        if reaped:
            log.warning("%d units lost their worker and are given to others", reaped)
        with transaction(self.sessions) as session:
            finish_complete_jobs(session)

    def _take_back_lost(self) -> None:
        forgotten = self.broker.has_forgotten()
        waiting = self.broker.waiting_units()
        with transaction(self.sessions) as session:
            if forgotten:
                taken = take_back(session, older_than_s=0)
            else:
                taken = take_back(session, still_there=waiting, older_than_s=LOST_AFTER_S)
        if taken:
            log.warning("%d doorbells got lost and are rung again", taken)

    def _take_ready(self) -> list[Doorbell]:
        with transaction(self.sessions) as session:
            # At least one slot per queue: a worker that comes later shall find its work waiting.
            slots = dict.fromkeys(QUEUES, 1) | slots_by_queue(session)
            taken = [take_ready(session, queue, WINDOW_PER_SLOT * slots[queue]) for queue in slots]
        return list(chain.from_iterable(taken))

    def beat(self) -> None:
        """Say that rounds are made, every few seconds."""
        if time.monotonic() < self.next_beat:
            return
        with transaction(self.sessions) as session:
            beat(session, self.name, [], 0, draining=False)
        self.next_beat = time.monotonic() + BEAT_EVERY_S

    def leave(self) -> None:
        with transaction(self.sessions) as session:
            remove_worker(session, self.name)

    def sweep(self) -> None:
        """Housekeeping that may be late: silent workers, files that no open job needs."""
        with transaction(self.sessions) as session:
            forget_silent(session)
            wanted = set(session.scalars(select(Job.id).where(Job.state.in_(OPEN_JOB_STATES))))
            tunings = set(session.scalars(select(Job.id).where(Job.kind == JobKind.TUNING)))
        for upload in self.uploads_dir.glob("*"):
            if upload.is_file() and _is_orphan(upload, wanted, ORPHAN_UPLOAD_S):
                upload.unlink(missing_ok=True)
        remove_staging(self.models_dir)
        remove_job_folders(self.training_dir, wanted, tunings)
        has_old = self._delete_old_jobs()
        self.is_behind = self.sweeper.sweep(DELETE_FOR_S) or has_old

    def _delete_old_jobs(self) -> bool:
        """Mark old jobs for a bounded time, a batch in each transaction; whether there may be more."""
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
    """Whether it did; a failure is logged, and must not keep others' work from being dispatched."""
    try:
        step()
    except (DBAPIError, RedisError, PublishError) as error:
        log.warning("a service is away, trying again: %s", error)
        return False
    except Exception:
        log.exception("%s failed, trying again", step.__name__)
        return False
    return True


def _is_orphan(path: Path, open_jobs: set[UUID], kept_s: float) -> bool:
    """An upload is written before its job's row is, so a young one without a job may still get one.

    What does not bear the name of a job is not ours to delete.
    """
    try:
        is_old = time.time() - path.stat().st_mtime > kept_s
        return is_old and UUID(path.name) not in open_jobs
    except (ValueError, FileNotFoundError):
        return False


class Doorman:
    """Waits for the next notification of new units, or for TICK_S."""

    def __init__(self, database_url: str) -> None:
        url = make_url(database_url).set(drivername="postgresql")
        self._address = url.render_as_string(hide_password=False)
        self._connection: psycopg.Connection | None = None

    def wait(self) -> None:
        try:
            if self._connection is None:
                self._connection = psycopg.connect(self._address, autocommit=True, connect_timeout=5)
                self._connection.execute(f"LISTEN {UNITS_CHANNEL}")
            for _ in self._connection.notifies(timeout=TICK_S, stop_after=1):
                pass
        except psycopg.Error:
            self.close()
            time.sleep(TICK_S)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def run(settings: Settings) -> None:
    """Until SIGTERM or SIGINT. Nothing that fails for a while ends it."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    dispatcher, doorman = Dispatcher(settings), Doorman(settings.database_url)
    next_sweep = 0.0
    while not stop.is_set():
        goes_well = dispatcher.tick() & succeeds(dispatcher.beat)
        if time.monotonic() >= next_sweep:
            goes_well &= succeeds(dispatcher.sweep)
            next_sweep = time.monotonic() + (SWEEP_AGAIN_S if dispatcher.is_behind else SWEEP_EVERY_S)
        if not goes_well:
            stop.wait(1.0)
        doorman.wait()
    doorman.close()
    with suppress(DBAPIError):
        dispatcher.leave()
    dispatcher.close()


if __name__ == "__main__":
    configure_logging(get_settings())
    run(get_settings())
