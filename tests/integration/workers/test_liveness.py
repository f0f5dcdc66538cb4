"""A worker whose consumer has stalled although its process lives: it notices, and ends."""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as BrokerAway
from sqlalchemy import make_url, select

from core.jobs.queue import KEY_PREFIX
from core.local.command import QUIET
from core.settings import PROJECT
from core.store.session import SessionFactory
from core.store.tables import Worker
from tests.support.stack import eventually
from workers import liveness
from workers.liveness import QUEUE_PREFIX, STALLED_AFTER, LivenessProbe

WORKER = """
from workers import liveness
from workers.app import app
liveness.SEND_EVERY_S = 0.6
app.conf.broker_transport_options["socket_timeout"] = 1  # so long the end waits for the dead connection
from celery.__main__ import main
main()
"""


class Surroundings:
    """What a probe depends on, which a test decides about."""

    def __init__(self) -> None:
        self.idle, self.sent, self.away = True, 0, False
        self.probe = LivenessProbe(self.send, lambda: self.idle, lambda: None)

    def send(self) -> None:
        if self.away:
            raise BrokerAway
        self.sent += 1


def send(surroundings: Surroundings, times: int) -> bool:
    """Whether the consumer counts as stalled after this many probes."""
    for _ in range(times):
        assert not surroundings.probe.is_stalled()
        surroundings.probe.send()
    return surroundings.probe.is_stalled()


def test_a_consumer_without_a_reply_for_a_minute_is_stalled():
    assert not send(Surroundings(), STALLED_AFTER - 1)
    assert send(Surroundings(), STALLED_AFTER)


def test_one_reply_is_enough():
    surroundings = Surroundings()
    send(surroundings, STALLED_AFTER - 1)
    surroundings.probe.record_reply()
    assert not send(surroundings, STALLED_AFTER - 1)
    assert send(surroundings, 1)


def test_a_busy_worker_is_not_judged():
    surroundings = Surroundings()
    send(surroundings, STALLED_AFTER - 1)
    surroundings.idle = False
    assert not send(surroundings, 1)
    surroundings.idle = True
    assert not send(surroundings, STALLED_AFTER - 2)


def test_a_broker_outage_is_no_stalled_consumer():
    surroundings = Surroundings()
    send(surroundings, STALLED_AFTER - 1)
    surroundings.away = True
    assert not send(surroundings, 2 * STALLED_AFTER)
    surroundings.away = False
    assert not send(surroundings, STALLED_AFTER - 1)


class Wire:
    """A way to a server whose connections can fall silent without being closed; new ones are fine."""

    def __init__(self, port: int) -> None:
        self._server = port
        self._silent = 0  # connections of an earlier generation than this pass nothing on
        self._generation = 1
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._silent, self._generation = self._generation, self._generation + 1

    def close(self) -> None:
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                self._sockets += [client, server]
                for source, target in ((client, server), (server, client)):
                    threading.Thread(
                        target=self._pass_on, args=(source, target, self._generation), daemon=True
                    ).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, generation: int) -> None:
        with suppress(OSError):
            while part := source.recv(65536):
                if generation > self._silent:
                    target.sendall(part)
            target.shutdown(socket.SHUT_WR)


@pytest.fixture
def wire(broker_url: str) -> Iterator[Wire]:
    made = Wire(make_url(broker_url).port or 6379)
    yield made
    made.close()


@contextmanager
def started(environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    argv = (
        sys.executable,
        "-c",
        WORKER,
        "-A",
        "workers.app",
        "worker",
        "-Q",
        "interactive",
        "-c",
        "1",
        *QUIET,
    )
    with (
        log.open("wb") as output,
        subprocess.Popen(
            (*argv, *QUIET, "-n", "stalled@test"),
            env=environment,
            cwd=PROJECT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def heartbeats(sessions: SessionFactory) -> list[tuple[str, list[str]]]:
    with sessions() as session:
        return [(worker.name, worker.queues) for worker in session.scalars(select(Worker))]


@pytest.mark.slow
def test_a_worker_whose_connection_died_without_a_word_ends(
    clean_database, database_url, broker_url, wire, tmp_path
):
    broker = make_url(broker_url).set(port=wire.port, database="8").render_as_string(hide_password=False)
    environment = {
        "MFA_DATABASE_URL": database_url,
        "MFA_BROKER_URL": broker,
        "MFA_DATA_DIR": str(tmp_path),
        "PYTHONPATH": str(PROJECT),
    }
    log = tmp_path / "worker.log"
    with (
        Redis.from_url(broker_url.rpartition("/")[0] + "/8", decode_responses=True) as redis,
        started(environment, log) as process,
    ):
        redis.flushdb()
        eventually(lambda: heartbeats(clean_database), 60)
        assert heartbeats(clean_database) == [("stalled@test", ["interactive"])]  # its own queue is nobody's
        time.sleep(3)  # longer than a stalled one would last
        assert process.poll() is None, log.read_text()
        assert redis.llen(KEY_PREFIX + QUEUE_PREFIX + "stalled@test") == 0
        wire.cut()
        assert process.wait(60) in (0, -signal.SIGTERM), log.read_text()
        left = redis.keys(f"{KEY_PREFIX}{QUEUE_PREFIX}*")
        assert all(0 < redis.ttl(key) <= liveness.KEPT_S for key in left)
        assert [key for key in redis.keys("*") if "stalled@test" in key] == left
        redis.flushdb()
    assert "the consumer has stalled" in log.read_text()
    assert heartbeats(clean_database) == []
