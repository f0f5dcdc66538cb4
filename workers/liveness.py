"""Liveness probe: a message that a worker sends to itself through the broker; without replies, it ends.

A consumer whose connection has died silently waits forever and looks alive. All queues of a worker are read
by one command on one connection, so the probe's own queue stands for all of them. A worker with a stalled
consumer ends, and its supervisor restarts it.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from celery import Celery, signals
from celery.worker import state
from kombu.entity import Exchange, Queue
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from core.jobs.queue import KEY_PREFIX
from workers.forking import NO_FORK

log = logging.getLogger(__name__)

TASK = "mfa.liveness"
QUEUE_PREFIX = "liveness."
SEND_EVERY_S = 20.0
STALLED_AFTER = 3  # probes in a row without a reply: a minute, longer than it takes to reconnect
END_WITHIN_S = 80.0  # of an orderly shutdown; then the process exits at once
KEPT_S = 600  # time to live of the queue that a killed worker leaves in the broker
BROKER_ERRORS = (OperationalError, RedisError, OSError)


class LivenessProbe:
    """Sends from a thread of its own, over connections of its own."""

    def __init__(
        self, send: Callable[[], None], is_idle: Callable[[], bool], end: Callable[[], None]
    ) -> None:
        self._send, self._is_idle, self._end = send, is_idle, end
        self._unanswered = 0  # a count, not a clock: clocks run on while the process is stopped
        self._stopped = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name="liveness", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def record_reply(self) -> None:
        self._unanswered = 0

    def _run(self) -> None:
        while not self._stopped.wait(SEND_EVERY_S):
            if self.is_stalled():
                with NO_FORK:
                    log.critical("the consumer has stalled although the broker answers: the worker ends")
                self._end()
                return
            with NO_FORK:
                self.send()

    def is_stalled(self) -> bool:
        """A worker without a free slot reads no messages, so it is not judged."""
        if not self._is_idle():
            self._unanswered = 0
        return self._unanswered >= STALLED_AFTER

    def send(self) -> None:
        """Send one probe. A broker outage says nothing about the consumer."""
        self._unanswered += 1  # before the reply can arrive
        try:
            self._send()
        except BROKER_ERRORS as error:
            log.warning("the broker does not answer: %s", error)
            self._unanswered = 0


_probe: LivenessProbe | None = None


def strategy(_task: Any, _app: Celery, consumer: Any, **_: Any) -> Callable[..., None]:
    """The consumer handles probes itself: a pool child may be busy for minutes."""

    def receive(_message: Any, _body: Any, ack: Callable[..., None], *_: Any) -> None:
        ack(log, consumer.connection_errors)
        if _probe is not None:
            _probe.record_reply()

    return receive


def queue_of(worker: str) -> Queue:
    """Without an exchange: no binding is left that would outlive the worker."""
    name = QUEUE_PREFIX + worker
    return Queue(name, Exchange(""), routing_key=name)  # type: ignore[no-untyped-call]


def send_to(app: Celery, queue: Queue) -> None:
    with app.connection_for_write() as connection:
        app.send_task(TASK, connection=connection, queue=queue, retry=False)
    with Redis.from_url(app.conf.broker_url, socket_timeout=5, socket_connect_timeout=3) as redis:
        redis.expire(KEY_PREFIX + queue.name, KEPT_S)


def end_process() -> None:
    """Shut down in order, which hands the work back; exit when that takes too long."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(END_WITHIN_S)
    os._exit(os.EX_TEMPFAIL)


@signals.celeryd_after_setup.connect
def _consume(sender: str, instance: Any, **_: Any) -> None:
    instance.app.amqp.queues.select_add(queue_of(sender))


@signals.worker_ready.connect
def _start(sender: Any, **_: Any) -> None:
    global _probe
    worker, queue = sender.controller, queue_of(sender.controller.hostname)
    _probe = LivenessProbe(
        lambda: send_to(worker.app, queue),
        lambda: len(state.reserved_requests) < worker.concurrency,
        end_process,
    )
    _probe.start()


@signals.worker_shutting_down.connect
def _stop(**_: Any) -> None:
    if _probe is not None:
        _probe.stop()
