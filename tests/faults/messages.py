"""Delivers every message twice more, in another order and perhaps long after its unit has ended."""

import random
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress

import psycopg
from celery import Celery
from kombu.exceptions import OperationalError as PublishError
from redis.exceptions import RedisError

from core.jobs.queue import Broker, make_celery, publish
from tests.faults.system import System, patiently, wait_until

COPIES = 2
EVERY_S = 0.5
DELAYED = 0.3  # of the copies wait for another round
LOOK_BACK = 2000  # rows: transactions do not commit in the order of their ids
TAKEN_S = 30.0  # until the workers have taken the last copies
AWAY = (PublishError, RedisError, OSError)  # what a publish raises while the broker is
DISPATCHED = (
    "SELECT move.id, unit.kind, unit.queue, unit.id FROM faults.moves AS move"
    " JOIN job_units AS unit ON unit.id = move.unit_id"
    " WHERE move.what = 'unit' AND move.new = 'dispatched' AND move.id > %(after)s"
)


class Repeater:
    """Use as a context manager around a run; leaving it delivers the copies that still wait."""

    def __init__(self, system: System, seed: int) -> None:
        self.repeated = 0
        self._system = system
        self._random = random.Random(seed)
        self._seen: set[int] = set()
        self._pending: list[tuple[str, str, int]] = []
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self._repeating: Future[None] | None = None

    def __enter__(self) -> "Repeater":
        self._repeating = self._pool.submit(self._repeat)
        return self

    def __exit__(self, *_: object) -> None:
        """Raises what ended the repeating early, if anything did."""
        self._stop.set()
        self._pool.shutdown()
        if self._repeating is not None:
            self._repeating.result()

    def _repeat(self) -> None:
        with closing(make_celery(self._system.settings)) as celery:
            while not self._stop.wait(EVERY_S):
                with suppress(psycopg.Error):
                    self._listen()
                self._random.shuffle(self._pending)
                with suppress(*AWAY):
                    self._deliver(celery, round(len(self._pending) * (1 - DELAYED)) or len(self._pending))
            self._listen()
            patiently(lambda: self._deliver(celery, len(self._pending)), AWAY)
        with closing(Broker(self._system.settings)) as broker:
            wait_until(lambda: not patiently(broker.waiting_units, AWAY), TAKEN_S)

    def _listen(self) -> None:
        after = max(self._seen, default=0) - LOOK_BACK
        for move_id, *message in self._system.rows(DISPATCHED, after=after):
            if move_id not in self._seen:
                self._seen.add(move_id)
                self._pending += [(message[0], message[1], message[2])] * COPIES

    def _deliver(self, celery: Celery, count: int) -> None:
        for _ in range(count):
            publish(celery, *self._pending[0])
            self._pending.pop(0)
            self.repeated += 1
