"""Delivers every doorbell twice more, in another order and perhaps long after its unit has ended."""

import random
import threading
from contextlib import suppress

import psycopg
from kombu.exceptions import OperationalError as PublishError
from redis.exceptions import RedisError

from core.queue import make_celery, ring
from tests.faults.system import System

COPIES = 2
EVERY_S = 0.5
DELAYED = 0.3  # of the copies wait for another round
LOOK_BACK = 500  # rows: transactions do not commit in the order of their ids
RUNG = (
    "SELECT move.id, unit.kind, unit.queue, unit.id FROM faults.moves AS move"
    " JOIN job_units AS unit ON unit.id = move.unit_id"
    " WHERE move.what = 'unit' AND move.new = 'dispatched' AND move.id > %(after)s"
)


class Repeater:
    """Use as a context manager around a run."""

    def __init__(self, system: System, seed: int) -> None:
        self.repeated = 0
        self._system = system
        self._random = random.Random(seed)
        self._seen: set[int] = set()
        self._pending: list[tuple[str, str, int]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._repeat, daemon=True)

    def __enter__(self) -> "Repeater":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _repeat(self) -> None:
        celery = make_celery(self._system.settings)
        while not self._stop.wait(EVERY_S):
            with suppress(psycopg.Error):
                self._listen()
            self._random.shuffle(self._pending)
            due = round(len(self._pending) * (1 - DELAYED)) or len(self._pending)
            with suppress(PublishError, RedisError, OSError):
                for _ in range(due):
                    ring(celery, *self._pending[0])
                    self._pending.pop(0)
                    self.repeated += 1
        celery.close()

    def _listen(self) -> None:
        after = max(self._seen, default=0) - LOOK_BACK
        for move_id, *doorbell in self._system.rows(RUNG, after=after):
            if move_id not in self._seen:
                self._seen.add(move_id)
                self._pending += [(doorbell[0], doorbell[1], doorbell[2])] * COPIES
