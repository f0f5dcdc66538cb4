"""What it takes to run one process of the stack."""

import signal
import socket
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Command:
    """A process: its name in `stack.json`, its argument vector, and how to stop it politely."""

    name: str
    argv: tuple[str, ...]
    stdin: str = ""
    user: tuple[int, int] | None = None  # uid and gid to run as; None: our own
    environment: dict[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 10.0  # from the stop signal to SIGKILL of the whole process group


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
