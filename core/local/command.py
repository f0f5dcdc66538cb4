"""What the stack runs: one `Command` per process, and the `Plan` that lists them."""

import os
import signal
import socket
import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core.settings import Settings

PROJECT = Path(__file__).resolve().parents[2]


class Command(BaseModel):
    """A process: its name in `stack.json`, its arguments, and how to stop it politely."""

    model_config = ConfigDict(frozen=True)

    name: str
    argv: tuple[str, ...]
    stdin: str = ""
    user: tuple[int, int] | None = None  # uid and gid to run as; None: our own
    stop_order: int = 0  # processes of a lower number are stopped first
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 10.0  # from the stop signal to SIGKILL of the whole process group


class Plan(BaseModel):
    """What runs beside the embedded servers."""

    model_config = ConfigDict(frozen=True)

    steps: tuple[Command, ...] = ()  # one after the other, each to its end, before the services start
    services: tuple[Command, ...] = ()  # kept running
    gateway: bool = False  # one of the services answers /readyz on the settings' host and port


SERVERS_ONLY = Plan()


def full_plan(settings: Settings) -> Plan:
    """Everything: migrations, model registration, gateway, dispatcher and workers."""
    processes = settings.worker_processes or cores()
    address = ("--host", settings.host, "--port", str(settings.port))
    gateway = ("uvicorn", "--factory", "api.main:create_app", *address, "--log-level", "warning")
    return Plan(
        steps=(
            python("migrate", "alembic", "-c", str(PROJECT / "alembic.ini"), "upgrade", "head"),
            python("register", "workers.register"),
        ),
        services=(
            python("dispatcher", "workers.dispatcher", stop_order=2),
            worker("batch", "plan,batch", processes),
            worker("interactive", "interactive", 1),
            worker("train", "train", 1),
            worker("trial", "trial", settings.trial_processes),
            # without a limit an open event stream would hold the shutdown up
            python("api", *gateway, "--timeout-graceful-shutdown", "3"),
        ),
        gateway=True,
    )


def python(name: str, *arguments: str, stop_order: int = 0) -> Command:
    """`python -m <arguments>` with our own interpreter."""
    return Command(name=name, argv=(sys.executable, "-m", *arguments), stop_order=stop_order)


def worker(name: str, queues: str, processes: int) -> Command:
    """A Celery worker that takes messages from `queues`."""
    pool = ("-c", str(processes), "-n", f"{name}@%h", "--pool", "prefork")
    arguments = ("celery", "-A", "workers.app", "worker", "-Q", queues, *pool)
    return python(f"worker-{name}", *arguments, stop_order=1)


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment_of(settings: Settings) -> dict[str, str]:
    """The variables that make a child process load the same settings."""
    values = settings.model_dump(mode="json")
    return {f"MFA_{name.upper()}": str(value) for name, value in values.items() if value is not None}


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
