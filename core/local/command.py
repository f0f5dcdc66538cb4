"""The processes of the stack: one `Command` each, listed in a `Plan`."""

import os
import signal
import socket
import sys

from pydantic import BaseModel, ConfigDict

from core.settings import PROJECT, Settings, variable_of


class Command(BaseModel):
    """A process: its name in `stack.json`, its arguments, and how to stop it."""

    model_config = ConfigDict(frozen=True)

    name: str
    argv: tuple[str, ...]
    stdin: str = ""
    user: tuple[int, int] | None = None  # uid and gid to run as; None for those of this process
    stop_order: int = 0  # processes of a lower number are stopped first
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 10.0  # from the stop signal to SIGKILL of the whole process group


class Plan(BaseModel):
    """The processes besides the embedded servers."""

    model_config = ConfigDict(frozen=True)

    steps: tuple[Command, ...] = ()  # run to completion in order, before the services start
    services: tuple[Command, ...] = ()  # kept running
    gateway: bool = False  # whether a service serves /readyz on the settings' host and port


SERVERS_ONLY = Plan()
QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")  # of Celery: rows tell who is alive


def full_plan(settings: Settings) -> Plan:
    """The full stack: migrations, model registration, gateway, dispatcher and workers."""
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
            # otherwise an open event stream would block the shutdown
            python("api", *gateway, "--timeout-graceful-shutdown", "3"),
        ),
        gateway=True,
    )


def python(name: str, *arguments: str, stop_order: int = 0) -> Command:
    """`python -m <arguments>` with the current interpreter."""
    return Command(name=name, argv=(sys.executable, "-m", *arguments), stop_order=stop_order)


def worker(name: str, queues: str, processes: int) -> Command:
    """A Celery worker that takes messages from `queues`."""
    pool = ("-c", str(processes), "-n", f"{name}@%h", "--pool", "prefork")
    arguments = ("celery", "-A", "workers.app", "worker", "-Q", queues, *pool, *QUIET)
    return python(f"worker-{name}", *arguments, stop_order=1)


def cores() -> int:
    """Number of CPU cores available to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment_of(settings: Settings) -> dict[str, str]:
    """Environment variables that give a child process the same settings."""
    values = settings.model_dump(mode="json")
    return {variable_of(name): str(value) for name, value in values.items() if value is not None}


def free_port(host: str = "127.0.0.1") -> int:
    """A free TCP port."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
