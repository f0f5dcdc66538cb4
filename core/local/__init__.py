"""The local stack: embedded Postgres and Valkey, gateway, dispatcher and workers on one machine."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType

from core.local import record
from core.local.command import SERVERS_ONLY, Command, Plan, environment_of, full_plan
from core.local.errors import (
    KINDS,
    AddressNotUsable,
    DataDirInUse,
    DataDirNotWritable,
    ModelMissing,
    PortInUse,
    StackFailed,
)
from core.settings import PROJECT, Settings

__all__ = [
    "SERVERS_ONLY",
    "AddressNotUsable",
    "Command",
    "DataDirInUse",
    "DataDirNotWritable",
    "ModelMissing",
    "Plan",
    "PortInUse",
    "Stack",
    "StackFailed",
    "full_plan",
    "local_stack",
]

STOP_TIMEOUT_S = 120


@dataclass(frozen=True)
class Stack:
    """A running stack."""

    url: str  # of the gateway, reachable from this machine
    database_url: str
    broker_url: str
    supervisor: subprocess.Popen[str] = field(repr=False)

    def wait(self) -> None:
        """Block until the stack fails. Raises StackFailed."""
        raise failure(receive(self.supervisor))


@contextmanager
def local_stack(settings: Settings, plan: Plan | None = None) -> Iterator[Stack]:
    """Run a stack (by default the full one) until the `with` block ends.

    The block starts when the stack is ready. Servers whose URL is set are used instead of embedded ones.
    Raises an error of this package if the stack cannot start. In the main thread, SIGTERM and SIGHUP end the
    block as Ctrl-C does.
    """
    settings = settings.model_copy(update={"data_dir": settings.data_dir.expanduser().resolve()})
    with ending_by_signal(), supervised(settings, plan or full_plan(settings)) as supervisor:
        answer = receive(supervisor)
        if "url" not in answer:
            raise failure(answer)
        yield Stack(answer["url"], answer["database_url"], answer["broker_url"], supervisor)


@contextmanager
def supervised(settings: Settings, plan: Plan) -> Iterator[subprocess.Popen[str]]:
    """A supervisor process, which stops when its stdin is closed or this process dies."""
    supervisor = subprocess.Popen(
        (sys.executable, "-m", "core.local.supervisor"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
        env=os.environ | environment_of(settings),  # passed on, not read
        start_new_session=True,
    )
    assert supervisor.stdin
    assert supervisor.stdout
    try:
        with suppress(BrokenPipeError):
            supervisor.stdin.write(plan.model_dump_json() + "\n")
            supervisor.stdin.flush()
        yield supervisor
    finally:
        with ignoring_signals():
            stop(supervisor, settings)


def stop(supervisor: subprocess.Popen[str], settings: Settings) -> None:
    """Stop the stack and wait for its last process; clean up if the supervisor was killed."""
    assert supervisor.stdin
    assert supervisor.stdout
    with suppress(BrokenPipeError):
        supervisor.stdin.close()
    try:
        supervisor.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        supervisor.kill()
        supervisor.wait()
    supervisor.stdout.close()
    if supervisor.returncode != 0:
        with suppress(DataDirInUse, OSError), closing(record.lock(settings.data_dir, threading.Event().wait)):
            record.clean_up(settings.data_dir)


def receive(supervisor: subprocess.Popen[str]) -> dict[str, str]:
    """The supervisor's next message; empty if it died."""
    assert supervisor.stdout
    line = supervisor.stdout.readline()
    message: dict[str, str] = json.loads(line) if line else {}
    return message


def failure(answer: dict[str, str]) -> Exception:
    """The exception for an error message of the supervisor."""
    kinds = {kind.__name__: kind for kind in KINDS}
    kind = kinds.get(answer.get("error", ""), StackFailed)
    return kind(answer.get("detail", "The supervisor of the local stack died; start it again."))


@contextmanager
def ending_by_signal() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into SystemExit, so that clean-up runs."""

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    # signals that are ignored (`nohup`) or handled already are left alone
    with handling({number: leave for number in numbers if signal.getsignal(number) == signal.SIG_DFL}):
        yield


@contextmanager
def ignoring_signals() -> Iterator[None]:
    """Ignore signals during the stop, which takes a bounded time."""
    with handling(dict.fromkeys((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), signal.SIG_IGN)):
        yield


@contextmanager
def handling(handlers: dict[signal.Signals, object]) -> Iterator[None]:
    """Install signal handlers for the block, if this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}  # type: ignore[arg-type]
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
