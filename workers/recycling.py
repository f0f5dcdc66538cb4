"""Pool children that have been idle for minutes are replaced: what they had loaded goes with them.

A child that has run a unit holds PyTorch and models, some hundred MB. One that is forked anew
shares its memory with its parent until its first unit.
"""

import logging
from collections.abc import Callable
from typing import Any

from celery import signals
from celery.concurrency.base import BasePool
from celery.worker import state

log = logging.getLogger(__name__)

LOOK_EVERY_S = 60.0
IDLE_LOOKS = 5  # in a row without a unit, until children are replaced


# The end of a child is reported before it can be waited for: the pool, which starts another one then, looks
# again after 5 s by itself.
LOOK_AGAIN_S = (0.05, 0.2, 1.0)


class Recycling:
    """Counts the looks at a pool that found it idle; `call_after` calls a function in so many seconds."""

    def __init__(self, pool: BasePool, call_after: Callable[[float, Callable[[], None]], object]) -> None:
        self._pool = pool
        self._call_after = call_after
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
        try:
            self._pool.shrink(count)
        finally:
            self._pool.grow(count - self._pool.num_processes)
        for delay_s in LOOK_AGAIN_S:
            self._call_after(delay_s, self._pool.maintain_pool)


@signals.worker_ready.connect
def _start(sender: Any, **_: Any) -> None:
    sender.timer.call_repeatedly(LOOK_EVERY_S, Recycling(sender.pool, sender.timer.call_after).look)
