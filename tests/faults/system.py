"""The product as processes of its own, and ways to find, hurt and audit them."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import psutil
import psycopg
from redis import Redis

from core.local import Plan, Stack, full_plan, local_stack
from core.local.command import free_port, worker
from core.settings import Settings, get_settings
from tests.support.processes import POOL_CHILD, children_of

WORKERS = ("worker-batch", "worker-batch-2")
PROCESSES_PER_WORKER = 2
SERVERS = ("postgres", "valkey")
OUTAGE_S = 60.0  # how long the database may be away before a look at it fails
AUDIT = Path(__file__).with_name("audit.sql")
T = TypeVar("T")


@dataclass(frozen=True)
class Running:
    """A claim that is being worked on."""

    claim_id: UUID
    unit_id: int
    pid: int


@dataclass(frozen=True)
class System:
    stack: Stack
    settings: Settings  # with the addresses of the servers
    music: Path

    @property
    def armed(self) -> Path:
        """The folder of crash points that are still to be passed."""
        assert self.settings.failpoints_dir
        return self.settings.failpoints_dir

    def process(self, name: str) -> psutil.Process:
        """A service by its name in `stack.json`, as soon as it runs."""

        def find() -> psutil.Process:
            process = psutil.Process(self._pids()[name])
            if process.status() == psutil.STATUS_ZOMBIE:
                raise psutil.NoSuchProcess(process.pid)
            return process

        return patiently(find, (KeyError, psutil.NoSuchProcess))

    def _pids(self) -> dict[str, int]:
        listed = json.loads((self.settings.data_dir / "stack.json").read_text())
        return {row["name"]: row["pid"] for row in listed}

    def own_processes(self) -> list[psutil.Process]:
        """Everything that runs but for the servers: the supervisor, its services and their children."""
        servers = [self.process(name).pid for name in SERVERS]
        services = [service for service in self._services() if service.pid not in servers]
        found = [psutil.Process(self.stack.supervisor.pid), *services]
        for service in services:
            with suppress(psutil.NoSuchProcess):
                found += service.children(recursive=True)
        return found

    def _services(self) -> list[psutil.Process]:
        found: list[psutil.Process] = psutil.Process(self.stack.supervisor.pid).children()
        return found

    def unlisted(self) -> list[psutil.Process]:
        """Services that were started while `stack.json` could not be written."""
        listed = self._pids().values()
        return [service for service in self._services() if service.pid not in listed]

    def is_whole(self) -> bool:
        """Whether every service runs, and none is just being started again."""
        running = {service.pid for service in self._services()}
        names = {*SERVERS, *WORKERS, "worker-interactive", "dispatcher", "api"}
        pids = self._pids()
        return names <= pids.keys() and running >= set(pids.values())

    def children(self, worker_name: str) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return children_of(self.process(worker_name), POOL_CHILD)
        return []

    def rows(self, sql: str, **parameters: Any) -> list[Any]:
        """The rows of a query, as soon as the database answers."""

        def ask() -> list[Any]:
            with psycopg.connect(self._address(), autocommit=True, connect_timeout=3) as connection:
                cursor = connection.execute(sql.encode(), parameters or None)
                return cursor.fetchall() if cursor.description else []

        return patiently(ask, (psycopg.OperationalError,))

    def _address(self) -> str:
        return self.stack.database_url.replace("+psycopg", "")

    def running(self) -> list[Running]:
        """Claims that somebody works on, the process of each; the oldest first."""
        rows = self.rows(
            "SELECT move.claim_id, move.unit_id, split_part(move.writer, ' ', 2)::int"
            " FROM faults.moves AS move"
            " JOIN job_units AS unit ON unit.claim_id = move.claim_id AND unit.state = 'running'"
            " WHERE move.what = 'unit' AND move.old <> 'running' AND move.new = 'running' ORDER BY move.id"
        )
        return [Running(*row) for row in rows]

    def is_held(self, claim: Running) -> bool:
        """Whether the claim still has its unit, and no transaction is about to change that."""
        sql = (
            "SELECT id FROM job_units WHERE claim_id = %(claim_id)s AND state = 'running'"
            " FOR UPDATE SKIP LOCKED"
        )
        return bool(self.rows(sql, claim_id=claim.claim_id))

    def log(self, name: str) -> str:
        """What a service has written so far, in all its lives."""
        return (self.settings.data_dir / "logs" / f"{name}.log").read_text(errors="replace")

    def redis(self) -> Redis:
        return Redis.from_url(self.stack.broker_url, socket_timeout=3, socket_connect_timeout=3)


def patiently(ask: Callable[[], T], errors: tuple[type[Exception], ...]) -> T:
    """The answer, asked for again while a service is away."""
    deadline = time.monotonic() + OUTAGE_S
    while True:
        try:
            return ask()
        except errors:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Whether it came true in time."""
    deadline = time.monotonic() + timeout_s
    while not (is_true := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return is_true


@contextmanager
def running_system(folder: Path, lease_s: float) -> Iterator[System]:
    """The whole product with two batch workers of two processes each, and the audit in its database."""
    data_dir, music, armed = folder / "data", folder / "music", folder / "armed"
    for each in (data_dir, music, armed):
        each.mkdir(parents=True)
    shutil.copytree(get_settings().models_dir, data_dir / "models")
    settings = Settings(
        database_url="",
        broker_url="",
        data_dir=data_dir,
        host="127.0.0.1",
        port=free_port(),
        lease_s=lease_s,
        worker_processes=PROCESSES_PER_WORKER,
        failpoints_dir=armed,
    )
    with local_stack(settings, with_second_worker(full_plan(settings))) as stack:
        urls = {"database_url": stack.database_url, "broker_url": stack.broker_url}
        system = System(stack, settings.model_copy(update=urls), music)
        system.rows(AUDIT.read_text())
        yield system


def with_second_worker(plan: Plan) -> Plan:
    """The plan without a worker for trainings, but with two for bulk work."""
    services = tuple(
        command for command in plan.services if command.name not in ("worker-train", "worker-trial")
    )
    second = worker("batch-2", "plan,batch", PROCESSES_PER_WORKER)
    return plan.model_copy(update={"services": (*services, second)})
