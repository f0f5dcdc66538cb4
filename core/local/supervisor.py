"""The process that runs a stack: starts everything, restarts what dies, stops all when its starter goes away.

It has a session of its own and follows the pipe on its stdin: whether its starter ends the stack, is
interrupted at any instruction or is killed, the pipe closes and the same stop follows. Nothing else stops
it, so no process ever runs that is not yet known.

Protocol: one line with the plan comes in on stdin; one JSON line goes out when the stack is ready, and one
when it fails, before or after that.
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

from core.errors import MFAError
from core.local import checks, postgres, record, valkey
from core.local.command import Command, Plan, environment_of, free_port
from core.local.errors import StackFailed
from core.local.service import Service, stop_together
from core.settings import Settings, get_settings

START_TIMEOUT_S = 180
SHORT_LIFE_S = 6  # a service that lives longer has recovered
MAX_SHORT_LIVES = 5
RETRY_S = 1.0

logger = logging.getLogger(__name__)


class Stopped(Exception):
    """The starter is gone or a signal asked to stop."""


class Supervisor:
    """The services of one data folder, in the order they were started."""

    def __init__(self, settings: Settings, plan: Plan) -> None:
        self.settings = settings
        self.plan = plan
        self.services: list[Service] = []
        self.stopping = False
        self.is_listed = True  # in `stack.json`, as it is

    def request_stop(self, *_: object) -> None:
        self.stopping = True

    def wait(self, seconds: float) -> None:
        """Sleep, but raise `Stopped` as soon as we are to stop."""
        readable, _, _ = select.select([sys.stdin], [], [], seconds)
        if self.stopping or (readable and not os.read(sys.stdin.fileno(), 1024)):
            raise Stopped

    def run(self) -> None:
        """Everything from the lock to the last process' end; returns when asked to stop."""
        data_dir = self.settings.data_dir
        checks.check_data_dir(data_dir)
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
        """Start new logs and keep those of the run before as `<name>.log.1`."""
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
            self.wait_until(lambda: answers(url), f"{url} does not answer 200")
        urls = self.settings.model_dump(include={"database_url", "broker_url"})
        say({"url": gateway_url(self.settings), **urls})

    def start_servers(self) -> None:
        """Start the embedded servers that the settings do not replace; the settings get their addresses."""
        if not self.settings.broker_url:
            broker_port, password = free_port(), valkey.new_password()
            self.launch(valkey.server(broker_port, password))
            self.adopt_url("broker_url", valkey.url(broker_port, password))
            self.wait_until(lambda: valkey.is_ready(broker_port, password), "Valkey does not answer")
        if not self.settings.database_url:
            root, port = self.settings.data_dir / "postgres", free_port()
            if initdb := postgres.prepare(root):
                self.run_step(initdb)
                postgres.adopt(root)
            process = self.launch(postgres.server(root, port)).process
            pid = process.pid if process else 0
            self.adopt_url("database_url", postgres.url(root, port))
            self.wait_until(lambda: postgres.is_ready(root, pid), "Postgres does not get ready")

    def adopt_url(self, name: str, url: str) -> None:
        self.settings = self.settings.model_copy(update={name: url})

    def launch(self, command: Command) -> Service:
        """Start a process and list it in `stack.json`."""
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
        """Run a command to its end, which must be a good one."""
        service = self.launch(command)
        deadline = time.monotonic() + START_TIMEOUT_S
        while (code := service.exit_code()) is None:
            if time.monotonic() > deadline:
                raise StackFailed(f"`{command.name}` did not end in {START_TIMEOUT_S} s. {log_of(service)}")
            self.wait(0.02)
        service.bury()
        self.services.remove(service)
        self.write_record()
        if code != 0:
            raise StackFailed(f"`{command.name}` failed ({ending(code)}). {log_of(service)}")

    def wait_until(self, condition: Callable[[], bool], complaint: str) -> None:
        """Wait for something to get ready; until then nobody may die."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not condition():
            for service in self.services:
                if (code := service.exit_code()) is not None:
                    name = service.command.name
                    raise StackFailed(f"`{name}` died during the start ({ending(code)}). {log_of(service)}")
            if time.monotonic() > deadline:
                logs = self.settings.data_dir / "logs"
                raise StackFailed(f"{complaint} after {START_TIMEOUT_S} s; the logs are in {logs}.")
            self.wait(0.05)

    def watch(self) -> None:
        """Restart whatever dies, with a growing delay while it keeps dying young."""
        while True:
            self.wait(0.2)
            if not self.is_listed:
                self.write_record()
            for service in self.services:
                if service.process is None:
                    if time.monotonic() >= service.restart_at:
                        self.restart(service)
                elif (code := service.exit_code()) is not None:
                    self.mourn(service, code)

    def restart(self, service: Service) -> None:
        """Start a dead service; later, when the system refuses: a full disk must not end the others."""
        try:
            service.start()
        except OSError as error:
            logger.warning("%s cannot be started: %s", service.command.name, error)
            service.restart_at = time.monotonic() + RETRY_S
        self.write_record()

    def mourn(self, service: Service, code: int) -> None:
        """Bury a dead service and set the time of its next life, or give up."""
        now, name = time.monotonic(), service.command.name
        young = now - service.started_at < SHORT_LIFE_S
        # a SIGKILL comes from outside and says nothing about the service
        service.short_lives = service.short_lives + 1 if young and code != -signal.SIGKILL else 0
        service.bury()
        self.write_record()
        if service.short_lives >= MAX_SHORT_LIVES:
            raise StackFailed(f"`{name}` died {MAX_SHORT_LIVES} times in a row. {log_of(service)}")
        service.restart_at = now + (0.1 * 2**service.short_lives if service.short_lives > 1 else 0)
        logger.warning("%s died (%s), restarting it", name, ending(code))

    def stop(self) -> None:
        """Stop everything in the order of `stop_order`."""
        ordered = sorted(self.services, key=stop_order)
        for _, together in groupby(ordered, key=stop_order):
            stop_together(together)
            self.write_record()
        (self.settings.data_dir / "stack.json").unlink(missing_ok=True)

    def write_record(self) -> None:
        try:
            record.write(self.settings.data_dir, self.services)
            self.is_listed = True
        except OSError as error:  # `watch` tries again
            if self.is_listed:
                logger.warning("stack.json cannot be written: %s", error)
            self.is_listed = False


def stop_order(service: Service) -> int:
    return service.command.stop_order


def gateway_url(settings: Settings) -> str:
    """Where a client on this machine reaches the gateway."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104, nothing binds here
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def answers(url: str) -> bool:
    """Whether GET answers 200."""
    with suppress(OSError), urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310, our own URL
        return bool(response.status == 200)
    return False


def ending(code: int) -> str:
    """An exit code in words."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def log_of(service: Service) -> str:
    return f"The end of {service.log}:\n{service.last_lines()}"


def say(message: dict[str, str]) -> None:
    """Send a line to the starter, if there still is one."""
    with suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), (json.dumps(message) + "\n").encode())


def main() -> None:
    # read unbuffered: `select` must see whatever follows the plan
    with os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0) as stdin:
        line = stdin.readline()
    if not line:
        return
    supervisor = Supervisor(get_settings(), Plan.model_validate_json(line))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, supervisor.request_stop)
    try:
        supervisor.run()
    except Stopped:
        pass
    except MFAError as error:
        say({"error": type(error).__name__, "detail": error.detail})
    except OSError as error:
        say({"error": StackFailed.__name__, "detail": f"The local stack stopped: {error}."})


if __name__ == "__main__":
    main()
