"""Celery's settings, publishing of task messages, and what the broker itself is asked.

A task message carries a unit's id and nothing else. Losing one costs seconds, a duplicate one failed claim.
"""

from __future__ import annotations

import base64
import json
import logging
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from redis import Redis
from redis.exceptions import RedisError

from core.errors import Unavailable
from core.jobs.kinds import UNIT_TIME_LIMIT_S, queues
from core.settings import Settings

if TYPE_CHECKING:
    from celery import Celery

log = logging.getLogger(__name__)

KEY_PREFIX = "mfa:"
GENERATION_KEY = KEY_PREFIX + "generation"
DEFAULT_QUEUE = "batch"  # of a worker that is started without queues


def make_celery(settings: Settings) -> Celery:
    from celery import Celery  # only who publishes or works needs it: the gateway does neither

    app = Celery("mfa", broker=settings.broker_url, set_as_current=False)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        result_backend=None,
        # The row's lease brings work back in 90 s; a late ack would only add redeliveries after an hour.
        task_acks_late=False,
        task_reject_on_worker_lost=False,
        task_time_limit=UNIT_TIME_LIMIT_S,
        task_default_queue=DEFAULT_QUEUE,
        task_create_missing_queues=True,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_pool="prefork",
        worker_pool_start_method="fork",  # from a parent that never imports torch: see workers.app
        worker_proc_alive_timeout=60,  # of a machine that is busy; the default is 4 s
        worker_lost_wait=2,
        worker_max_tasks_per_child=200,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "global_keyprefix": KEY_PREFIX,
            "queue_order_strategy": "priority",  # a worker looks at its queues in the order it was given
            # Seconds that one poll of the broker waits for a message. A longer wait wakes an idle worker less
            # often, but a worker may take that long to stop.
            "polling_interval": 3,
            "visibility_timeout": 3600,
            "socket_timeout": 10,  # by default a publish on a dead connection blocks forever
            "socket_connect_timeout": 3,
            "socket_keepalive": True,
            "health_check_interval": 15,
        },
    )
    return app


def task_name(kind: str) -> str:
    """The Celery task that runs units of a kind."""
    return f"mfa.{kind}"


def publish(app: Celery, kind: str, queue: str, unit_id: int) -> None:
    """Send the task message of a unit to its queue."""
    app.send_task(task_name(kind), args=[unit_id], queue=queue, retry=False)
    log.info("unit %s: published to %s", unit_id, queue, extra={"unit": unit_id})


class Broker:
    """What the dispatcher asks the broker itself."""

    def __init__(self, settings: Settings) -> None:
        self._redis = Redis.from_url(
            settings.broker_url,
            socket_timeout=5,
            socket_connect_timeout=3,
            decode_responses=True,
            encoding_errors="replace",  # a message that is no text is none of ours
        )
        self._generation: bytes | str | None = None

    def was_reset(self) -> bool:
        """True once after the broker lost its data (a restart, a flush), and at the dispatcher's start.

        All dispatchers share the generation that one of them wrote: each overwriting the other's would look
        like a reset to both.
        """
        self._redis.set(GENERATION_KEY, uuid4().hex, nx=True)
        known, self._generation = self._generation, self._redis.get(GENERATION_KEY)
        return known != self._generation

    def waiting_units(self) -> set[int]:
        """The units whose messages no worker has taken yet: few, as few are published ahead."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for queue in queues():
                pipeline.lrange(KEY_PREFIX + queue, 0, -1)
            messages = [message for queue in pipeline.execute() for message in queue]
        return {unit_id for message in messages if (unit_id := _unit_of(message)) is not None}

    def move_to_front(self, queue: str) -> None:
        """Make the message that was published last the next one delivered."""
        self._redis.lmove(KEY_PREFIX + queue, KEY_PREFIX + queue, "LEFT", "RIGHT")

    def close(self) -> None:
        self._redis.close()


def _unit_of(message: str) -> int | None:
    """The unit of a task message as Celery stores it in a queue (a task's arguments in JSON, in base64).

    None for any other message.
    """
    try:
        (unit_id,), _, _ = json.loads(base64.b64decode(json.loads(message)["body"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return unit_id if is_unit_id(unit_id) else None


def is_unit_id(value: Any) -> bool:
    """Whether it fits the column of unit ids."""
    return type(value) is int and 0 < value < 2**63


def ping(settings: Settings) -> None:
    """Raise Unavailable when the broker does not answer."""
    try:
        with Redis.from_url(settings.broker_url, socket_timeout=2, socket_connect_timeout=2) as redis:
            redis.ping()
    except RedisError as error:
        raise Unavailable(f"The broker does not answer: {error}") from error
