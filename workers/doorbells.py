"""Which messages a worker lets in: doorbells, as `core.jobs.queue.ring` makes them, and nothing else.

Whoever can write to the broker could otherwise end a worker with a body that Celery does not foresee, again
and again as such a message is restored, or hang callbacks, chains and limits of his own on a task.
"""

import logging
from collections.abc import Callable
from typing import Any

from celery import Celery
from celery.worker.strategy import default

from core.jobs.queue import is_unit_id

log = logging.getLogger(__name__)

JSON = "application/json"
PLAIN = ("eta", "expires", "group", "group_index", "replaced_task_nesting", "stamped_headers", "stamps")


def is_doorbell(message: Any) -> bool:
    """Whether it is JSON with the id of a unit: no other argument, nothing to do at a time or afterwards."""
    headers = message.headers
    try:
        (unit_id,), named, afterwards = message.payload
        plain = not named and not any(afterwards.values()) and not any(headers.get(name) for name in PLAIN)
        limits = headers.get("timelimit") or ()
    except Exception:  # whatever its body is, it is no doorbell
        return False
    identified = isinstance(headers.get("id"), str) and message.content_type == JSON
    return is_unit_id(unit_id) and plain and identified and not any(limits)


def strategy(task: Any, app: Celery, consumer: Any, **options: Any) -> Callable[..., None]:
    """Celery's own, behind that check."""
    handle = default(task, app, consumer, **options)

    def receive(message: Any, body: Any, ack: Callable[..., None], *more: Any) -> None:
        if is_doorbell(message):
            handle(message, body, ack, *more)
        else:
            log.warning("a message for %s that is no doorbell is dropped", task.name)
            ack(log, consumer.connection_errors)

    return receive
