"""Fixtures for every test: the embedded servers, started once per run."""

import subprocess
import time
from collections.abc import Iterator

import pytest

from core.local_stack import postgres, valkey
from core.local_stack.command import Command, free_port


def start(command: Command) -> subprocess.Popen[str]:
    user, group = command.user or (None, None)
    process = subprocess.Popen(
        command.argv, stdin=subprocess.PIPE, text=True, user=user, group=group, start_new_session=True
    )
    assert process.stdin
    process.stdin.write(command.stdin)
    process.stdin.close()
    return process


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """SQLAlchemy address of an empty embedded Postgres; its user may create databases and extensions."""
    root, port = tmp_path_factory.mktemp("postgres"), free_port()
    initdb = postgres.prepare(root)
    assert initdb
    assert start(initdb).wait() == 0
    postgres.adopt(root)
    process = start(postgres.server(root, port))
    try:
        while not postgres.is_ready(root, process.pid):
            assert process.poll() is None
            time.sleep(0.02)
        yield postgres.url(root, port)
    finally:
        process.send_signal(2)
        process.wait()


@pytest.fixture(scope="session")
def broker_url() -> Iterator[str]:
    """Address of an empty embedded Valkey."""
    port, password = free_port(), valkey.new_password()
    process = start(valkey.server(port, password))
    try:
        while not valkey.is_ready(port, password):
            assert process.poll() is None
            time.sleep(0.02)
        yield valkey.url(port, password)
    finally:
        process.terminate()
        process.wait()
