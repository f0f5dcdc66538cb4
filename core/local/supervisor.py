"""The supervisor process of a stack: starts its processes, restarts those that exit, and stops all of them.

It has its own session and stops when its stdin is closed, that is, if its parent stops the stack, is
interrupted or is killed.

Protocol: the plan is read as one line from stdin; one JSON line is written when the stack is ready, and one
if it fails.
"""

import json
import logging
import os
import select
import signal
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing, suppress
from itertools import groupby

from core.errors import MFAError, NoDiskSpace
from core.local import checks, postgres, record, valkey
from core.local.command import Command, Plan, environment_of, free_port
from core.local.errors import DataDirNotWritable, StackFailed
from core.local.service import Service, stop_together
from core.settings import Settings, get_settings

START_TIMEOUT_S = 180
RAPID_EXIT_S = 6  # a service that runs longer has recovered
MAX_RAPID_EXITS = 5
RETRY_S = 1.0
WATCH_EVERY_S = 10.0  # at least, besides at the end of a process

logger = logging.getLogger(__name__)


class StopRequested(Exception):
    """The parent has closed the pipe, or a signal requested the stop."""


class Supervisor:
    """The services of one data folder, in the order of their start."""

    def __init__(self, settings: Settings, plan: Plan) -> None:
        self.settings = settings
        self.plan = plan
        self.services: list[Service] = []
        self.stopping = False
        self.woken = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.is_recorded = True  # whether `stack.json` is up to date

    def request_stop(self, *_: object) -> None:
        self.stopping = True
        self.wake()

    def wake(self, *_: object) -> None:
        """End the wait. A handler of signals, such as the one that a process has ended."""
        os.eventfd_write(self.woken, 1)

    def wait(self, seconds: float) -> None:
        """Sleep, or until woken; raise StopRequested as soon as a stop is requested."""
        readable, _, _ = select.select([sys.stdin, self.woken], [], [], seconds)
        if self.woken in readable:
            os.eventfd_read(self.woken)
        if self.stopping or (sys.stdin in readable and not os.read(sys.stdin.fileno(), 1024)):
            raise StopRequested

    def run(self) -> None:
        """Lock the data folder, and run the stack until StopRequested."""
        data_dir = self.settings.data_dir
        checks.check_data_dir(data_dir, self.settings.min_free_mb)
        with closing(record.lock(data_dir, self.wait)) as lock:
            record.clean_up(data_dir)
            if self.plan.gateway:
                checks.check_model(self.settings.models_dir)
                checks.check_address(self.settings.host, self.settings.port)
            self.open_logs()
            try:
                self.start()
                self.watch()
            finally:
                with suppress(OSError):
                    lock.write("stopping")
                    lock.flush()
                self.stop()

    def open_logs(self) -> None:
        """Start new logs, and keep those of the previous run as `<name>.log.1`."""
        logs = self.settings.data_dir / "logs"
        logs.mkdir(exist_ok=True)
        for log in logs.glob("*.log"):
            log.replace(log.with_name(f"{log.name}.1"))
        form = "%(asctime)s %(levelname)s %(message)s"
        logging.basicConfig(filename=logs / "supervisor.log", level=logging.INFO, format=form, force=True)

    def start(self) -> None:
        self.start_servers()
        for step in self.plan.steps:
            self.run_step(step)
        for command in self.plan.services:
            self.launch(command)
        if self.plan.gateway:
            url = f"{gateway_url(self.settings)}/readyz"
            self.wait_until(lambda: responds(url), f"{url} does not answer 200")
        urls = self.settings.model_dump(include={"database_url", "broker_url"})
        send_message({"url": gateway_url(self.settings), **urls})

    def start_servers(self) -> None:
        """Start the embedded servers that the settings do not replace, and add their URLs to the settings."""
        if not self.settings.broker_url:
            broker_port, password = free_port(), valkey.new_password()
            self.launch(valkey.server(broker_port, password))
            self.set_url("broker_url", valkey.url(broker_port, password))
            self.wait_until(lambda: valkey.is_ready(broker_port, password), "Valkey does not answer")
        if not self.settings.database_url:
            root, port = self.settings.data_dir / "postgres", free_port()
            if initdb := postgres.prepare(root):
                self.run_step(initdb)
                postgres.promote_cluster(root)
            process = self.launch(postgres.server(root, port)).process
            pid = process.pid if process else 0
            self.set_url("database_url", postgres.url(root, port))
            self.wait_until(lambda: postgres.is_ready(root, pid), "Postgres does not get ready")

    def set_url(self, name: str, url: str) -> None:
        self.settings = self.settings.model_copy(update={name: url})

    def launch(self, command: Command) -> Service:
        """Start a process and record it in `stack.json`."""
        data_dir = self.settings.data_dir
        own = {record.MARK: str(data_dir), "PYTHONUNBUFFERED": "1"}
        # the rest of the environment (PATH, proxies, locale) is passed on, not read
        environment = os.environ | environment_of(self.settings) | own
        service = Service(command, data_dir / "logs" / f"{command.name}.log", environment)
        self.services.append(service)
        service.start()
        self.write_record()
        return service

    def run_step(self, command: Command) -> None:
        """Run a command to completion. Raises StackFailed."""
        service = self.launch(command)
        deadline = time.monotonic() + START_TIMEOUT_S
        while (code := service.exit_code()) is None:
            if time.monotonic() > deadline:
                raise StackFailed(
                    f"`{command.name}` did not end in {START_TIMEOUT_S} s. {log_excerpt(service)}"
                )
            self.wait(0.02)
        service.kill_group()
        self.services.remove(service)
        self.write_record()
        if code != 0:
            raise StackFailed(f"`{command.name}` failed ({exit_reason(code)}). {log_excerpt(service)}")

    def wait_until(self, condition: Callable[[], bool], complaint: str) -> None:
        """Wait for a condition. Raises StackFailed on a timeout, or if a service exits."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not condition():
            for service in self.services:
                if (code := service.exit_code()) is not None:
                    name = service.command.name
                    raise StackFailed(
                        f"`{name}` died during the start ({exit_reason(code)}). {log_excerpt(service)}"
                    )
            if time.monotonic() > deadline:
                logs = self.settings.data_dir / "logs"
                raise StackFailed(f"{complaint} after {START_TIMEOUT_S} s; the logs are in {logs}.")
            self.wait(0.05)

    def watch(self) -> None:
        """Restart services that exit, with a growing delay after rapid exits."""
        while True:
            self.wait(WATCH_EVERY_S if self.is_calm() else 0.2)
            if not self.is_recorded:
                self.write_record()
            for service in self.services:
                if service.process is None:
                    if time.monotonic() >= service.restart_at:
                        self.restart(service)
                elif (code := service.exit_code()) is not None:
                    self.handle_exit(service, code)

    def is_calm(self) -> bool:
        """Whether nothing is to be done until a process ends."""
        return self.is_recorded and all(service.process for service in self.services)

    def restart(self, service: Service) -> None:
        """Start a service again, or schedule another attempt if that fails, for example on a full disk."""
        try:
            service.start()
        except OSError as error:
            logger.warning("%s cannot be started: %s", service.command.name, error)
            service.restart_at = time.monotonic() + RETRY_S
        self.write_record()

    def handle_exit(self, service: Service, code: int) -> None:
        """Schedule the restart of a service that exited. Raises StackFailed after too many rapid exits."""
        now, name = time.monotonic(), service.command.name
        is_rapid = now - service.started_at < RAPID_EXIT_S
        # neither a SIGKILL, which comes from outside, nor a full disk is the service's fault
        is_full = self.is_short_of_space()
        is_excused = is_full or code == -signal.SIGKILL
        service.rapid_exits = service.rapid_exits + 1 if is_rapid and not is_excused else 0
        service.kill_group()
        self.write_record()
        if service.rapid_exits >= MAX_RAPID_EXITS:
            raise StackFailed(f"`{name}` died {MAX_RAPID_EXITS} times in a row. {log_excerpt(service)}")
        delay_s = 0.1 * 2**service.rapid_exits if service.rapid_exits > 1 else 0
        service.restart_at = now + (RETRY_S if is_rapid and is_full else delay_s)
        logger.warning("%s died (%s), restarting it", name, exit_reason(code))

    def is_short_of_space(self) -> bool:
        try:
            checks.check_data_dir(self.settings.data_dir, self.settings.min_free_mb)
        except (NoDiskSpace, DataDirNotWritable):
            return True
        return False

    def stop(self) -> None:
        """Stop all services in the order of `stop_order`."""
        ordered = sorted(self.services, key=stop_order)
        for _, together in groupby(ordered, key=stop_order):
            stop_together(together)
            self.write_record()
        (self.settings.data_dir / "stack.json").unlink(missing_ok=True)

    def write_record(self) -> None:
        try:
            record.write(self.settings.data_dir, self.services)
            self.is_recorded = True
        except OSError as error:  # `watch` retries
            if self.is_recorded:
                logger.warning("stack.json cannot be written: %s", error)
            self.is_recorded = False


def stop_order(service: Service) -> int:
    return service.command.stop_order


def gateway_url(settings: Settings) -> str:
    """The gateway's URL for a client on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104, nothing binds here
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def responds(url: str) -> bool:
    """Whether a GET request succeeds with 200."""
    with suppress(OSError), urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310, our own URL
        return bool(response.status == 200)
    return False


def exit_reason(code: int) -> str:
    """An exit code as text."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def log_excerpt(service: Service) -> str:
    return f"The end of {service.log}:\n{service.last_lines()}"


def send_message(message: dict[str, str]) -> None:
    """Send a line to the parent, if it still runs."""
    with suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), (json.dumps(message) + "\n").encode())


def main() -> None:
    # unbuffered, because `select` must see the end of the input after the plan
    with os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0) as stdin:
        line = stdin.readline()
    if not line:
        return
    supervisor = Supervisor(get_settings(), Plan.model_validate_json(line))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, supervisor.request_stop)
    signal.signal(signal.SIGCHLD, supervisor.wake)
    try:
        supervisor.run()
    except StopRequested:
        pass
    except MFAError as error:
        send_message({"error": type(error).__name__, "detail": error.detail})
    except OSError as error:
        send_message({"error": StackFailed.__name__, "detail": f"The local stack stopped: {error}."})


if __name__ == "__main__":
    main()
