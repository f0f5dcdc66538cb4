"""One whole stack for all end-to-end tests: gateway, dispatcher, Celery workers, Postgres and Valkey."""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from core.local import Command, Plan, Stack, full_plan, local_stack
from core.local.command import free_port
from core.settings import Settings, get_settings
from core.store.session import SessionFactory, create_database_engine, create_session_factory
from tests.e2e.waiting import wait_for

LEASE_S = 10.0  # short, so that a test of a lost lease does not take minutes
OPEN_STATES = ("queued", "running", "cancelling")


@dataclass(frozen=True)
class RunningStack:
    stack: Stack
    settings: Settings
    http: httpx.Client
    sessions: SessionFactory

    def process(self, name: str) -> psutil.Process:
        """A process of the stack, by its name in `stack.json`."""
        listed = json.loads((self.settings.data_dir / "stack.json").read_text())
        return psutil.Process(next(row["pid"] for row in listed if row["name"] == name))

    def add_library(self, name: str, folder: Path) -> None:
        response = self.http.post("/libraries", json={"name": name, "path": str(folder)})
        assert response.status_code == 201, response.text

    def submit(self, library: str, **params: Any) -> str:
        response = self.http.post(
            "/jobs", json={"kind": "analysis", "params": {"library": library, **params}}
        )
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.http.get(f"/jobs/{job_id}").raise_for_status().json()
        return answer

    def wait_for_end(self, job_id: str, timeout_s: float = 120) -> dict[str, Any]:
        def ended() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["state"] not in OPEN_STATES else None

        return wait_for(ended, timeout_s, every_s=0.25)  # polls cost what the workers could use

    def wait_for_outcomes(self, job_id: str, at_least: int, timeout_s: float = 60) -> dict[str, Any]:
        """Wait until a job is in the middle of its work."""

        def progressed() -> dict[str, Any] | None:
            job = self.job(job_id)
            assert job["state"] in OPEN_STATES, f"over before the fault: {job}"
            progress = job["progress"]
            return job if progress["done"] + progress["failed"] >= at_least else None

        return wait_for(progressed, timeout_s)


@pytest.fixture(scope="package")
def running() -> Iterator[RunningStack]:
    """Stopped before tests of other folders run: its idle processes would slow them down."""
    with tempfile.TemporaryDirectory(prefix="mfa-e2e-") as folder:
        yield from _run_stack(Path(folder))


def _run_stack(data_dir: Path) -> Iterator[RunningStack]:
    shutil.copytree(get_settings().models_dir, data_dir / "models")
    settings = Settings(
        database_url="",
        broker_url="",
        data_dir=data_dir,
        host="127.0.0.1",
        port=free_port(),
        lease_s=LEASE_S,
        worker_processes=2,
    )
    with local_stack(settings, _with_unprivileged_workers(full_plan(settings))) as stack:
        engine = create_database_engine(stack.database_url)
        with httpx.Client(base_url=f"{stack.url}/api/v1", timeout=60) as http:
            yield RunningStack(stack, settings, http, create_session_factory(engine))
        engine.dispose()


def _with_unprivileged_workers(plan: Plan) -> Plan:
    wrapper = (sys.executable, "-m", "tests.e2e.unprivileged")

    def wrapped(command: Command) -> Command:
        if not command.name.startswith("worker-"):
            return command
        return command.model_copy(update={"argv": wrapper + command.argv})

    return plan.model_copy(update={"services": tuple(map(wrapped, plan.services))})
