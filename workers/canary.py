"""A worker's canary: a message that it sends itself through the broker. When none comes back, it is deaf.

A consumer whose connection has died without a word waits for ever and looks alive. All queues of a worker are
read by one command on one connection, so a queue of its own stands for all of them. A deaf worker ends, and
whatever started it starts it anew.
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

log = logging.getLogger(__name__)

TASK = "mfa.canary"
QUEUE_PREFIX = "canary."
SEND_EVERY_S = 10.0
DEAF_AFTER = 6  # canaries in a row: a minute, longer than it takes to come back to a broker that was away
END_WITHIN_S = 80.0  # of an orderly end; then the process just ends
KEPT_S = 600  # what a killed worker leaves in the broker
AWAY = (OperationalError, RedisError, OSError)


class Canary:
    """Sends from a thread of its own, over connections of its own."""

    def __init__(
        self, send: Callable[[], None], is_idle: Callable[[], bool], end: Callable[[], None]
    ) -> None:
        self._send, self._is_idle, self._end = send, is_idle, end
        self._missed = 0  # canaries since the last that came back; no clock: it runs on while we are stopped
        self._stopped = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name="canary", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def hear(self) -> None:
        self._missed = 0

    def _run(self) -> None:
        while not self._stopped.wait(SEND_EVERY_S):
            if self.is_deaf():
                log.critical("no message comes although the broker answers: it ends")
                self._end()
                return
            self.send()

    def is_deaf(self) -> bool:
        """A worker without a free slot reads no messages, and is not judged."""
        if not self._is_idle():
            self._missed = 0
        return self._missed >= DEAF_AFTER

    def send(self) -> None:
        """A broker that does not answer says nothing about our hearing."""
        self._missed += 1  # before it can come back
        try:
            self._send()
        except AWAY as error:
            log.warning("the broker does not answer: %s", error)
            self._missed = 0


_canary: Canary | None = None


def strategy(_task: Any, _app: Celery, consumer: Any, **_: Any) -> Callable[..., None]:
    """How the consumer deals with canaries: itself, as a pool child might be at work for minutes."""

    def receive(_message: Any, _body: Any, ack: Callable[..., None], *_: Any) -> None:
        ack(log, consumer.connection_errors)
        if _canary is not None:
            _canary.hear()

    return receive


def queue_of(worker: str) -> Queue:
    """Without an exchange: nothing is bound that would outlive the worker."""
    name = QUEUE_PREFIX + worker
    return Queue(name, Exchange(""), routing_key=name)  # type: ignore[no-untyped-call]


def send_to(app: Celery, queue: Queue) -> None:
    with app.connection_for_write() as connection:
        app.send_task(TASK, connection=connection, queue=queue, retry=False)
    with Redis.from_url(app.conf.broker_url, socket_timeout=5, socket_connect_timeout=3) as redis:
        redis.expire(KEY_PREFIX + queue.name, KEPT_S)


def end_process() -> None:
    """Hand the work back and end; just end when even that does not go on any more."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(END_WITHIN_S)
    os._exit(os.EX_TEMPFAIL)


@signals.celeryd_after_setup.connect
def _listen(sender: str, instance: Any, **_: Any) -> None:
    instance.app.amqp.queues.select_add(queue_of(sender))


@signals.worker_ready.connect
def _start(sender: Any, **_: Any) -> None:
    global _canary
    worker, queue = sender.controller, queue_of(sender.controller.hostname)
    _canary = Canary(
        lambda: send_to(worker.app, queue),
        lambda: len(state.reserved_requests) < worker.concurrency,
        end_process,
    )
    _canary.start()


@signals.worker_shutting_down.connect
def _stop(**_: Any) -> None:
    if _canary is not None:
        _canary.stop()
