"""One process of the stack, with its process group."""

import os
import signal
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from core.local.command import Command
from core.settings import PROJECT


class Service:
    """A restartable command, whose processes have their own session: Ctrl-C does not reach them."""

    def __init__(self, command: Command, log: Path, environment: dict[str, str]) -> None:
        self.command = command
        self.log = log
        self.environment = environment
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0  # monotonic seconds
        self.restart_at = 0.0
        self.rapid_exits = 0  # successive

    def start(self) -> None:
        """Start the process; its output is appended to the log."""
        uid, gid = self.command.user or (None, None)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command.argv,
                stdin=subprocess.PIPE if self.command.stdin else subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
                cwd="/" if self.command.user else PROJECT,  # another user may lack access to the project
                user=uid,
                group=gid,
                extra_groups=[] if self.command.user else None,
                start_new_session=True,
            )
        self.started_at = time.monotonic()
        if self.process.stdin:
            with suppress(BrokenPipeError), self.process.stdin as stdin:
                stdin.write(self.command.stdin.encode())

    def exit_code(self) -> int | None:
        """None while it runs; the negative signal number if a signal ended it."""
        return self.process.poll() if self.process else None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, not to its children."""
        if self.process:
            self.process.send_signal(number)

    def kill_group(self) -> None:
        """Kill the rest of the process group and reap the process."""
        if self.process:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None

    def last_lines(self, count: int = 15) -> str:
        """The last lines of its log."""
        with suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])
        return ""


def stop_together(services: Iterable[Service]) -> None:
    """Send all services their stop signal, and kill those that do not exit within their grace period."""
    running = [service for service in services if service.process]
    for service in running:
        service.send(service.command.stop_signal)
    asked_at = time.monotonic()
    while running:
        for service in list(running):
            is_late = time.monotonic() - asked_at > service.command.grace_s
            if is_late or service.exit_code() is not None:
                service.kill_group()
                running.remove(service)
        time.sleep(0.02)
