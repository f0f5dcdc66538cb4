"""Validation of task messages: a worker accepts what `core.jobs.queue.publish` sends, and nothing else.

Whoever can write to the broker could otherwise end a worker with a body that Celery does not expect, again
and again as such a message is redelivered, or attach callbacks, chains and time limits to a task.
"""

import logging
from collections.abc import Callable
from typing import Any

from celery import Celery
from celery.worker.strategy import default

from core.jobs.queue import is_unit_id

log = logging.getLogger(__name__)

JSON = "application/json"
UNUSED_HEADERS = (
    "eta", "expires", "group", "group_index", "replaced_task_nesting", "stamped_headers", "stamps",
)  # fmt: skip


def is_task_message(message: Any) -> bool:
    """Whether it is JSON with the id of a unit: no other argument, no schedule, nothing to run afterwards."""
    headers = message.headers
    try:
        (unit_id,), keywords, embedded = message.payload
        has_extras = keywords or any(embedded.values()) or any(headers.get(name) for name in UNUSED_HEADERS)
        limits = headers.get("timelimit") or ()
    except Exception:  # whatever its body is, it is not ours
        return False
    has_task_id = isinstance(headers.get("id"), str) and message.content_type == JSON
    return is_unit_id(unit_id) and not has_extras and has_task_id and not any(limits)


def strategy(task: Any, app: Celery, consumer: Any, **options: Any) -> Callable[..., None]:
    """Celery's own strategy, behind that check."""
    handle = default(task, app, consumer, **options)

    def receive(message: Any, body: Any, ack: Callable[..., None], *more: Any) -> None:
        if is_task_message(message):
            handle(message, body, ack, *more)
        else:
            log.warning("an invalid message for %s is dropped", task.name)
            ack(log, consumer.connection_errors)

    return receive
