"""Pool children that have been idle for minutes are replaced: what they had loaded goes with them.

A child that has run a unit holds PyTorch and models, some hundred MB. One that is forked anew
shares its memory with its parent until its first unit.
"""

import logging
from typing import Any

from celery import signals
from celery.concurrency.base import BasePool
from celery.worker import state

log = logging.getLogger(__name__)

LOOK_EVERY_S = 60.0
IDLE_LOOKS = 5  # in a row without a unit, until children are replaced


class Recycling:
    def __init__(self, pool: BasePool) -> None:
        self._pool = pool
        self._seen = 0  # units that had been started at the last look
        self._idle_looks = 0

    def look(self) -> None:
        """Called regularly by the loop that gives the units to the children."""
        started: int = state.all_total_count[0]
        if state.reserved_requests or started != self._seen:
            self._seen, self._idle_looks = started, 0
            return
        self._idle_looks += 1
        if self._idle_looks == IDLE_LOOKS and started:
            self._replace()

    def _replace(self) -> None:
        count = self._pool.num_processes
        log.info("%d idle pool processes are replaced", count)
        self._pool.shrink(count)
        self._pool.grow(count)


@signals.worker_ready.connect
def _start(sender: Any, **_: Any) -> None:
    sender.timer.call_repeatedly(LOOK_EVERY_S, Recycling(sender.pool).look)
