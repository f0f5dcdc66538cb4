"""The Compose file's services, run by hand: several workers, servers with passwords, no privileges."""

import socket
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select

from core.jobs.workers import DISPATCHER
from core.local import SERVERS_ONLY, local_stack
from core.states import UnitState
from core.store.session import SessionFactory, create_database_engine, create_session_factory
from core.store.tables import JobUnit, Worker
from tests.conftest import stack_settings
from tests.e2e.rows import assert_nothing_lost_or_doubled
from tests.e2e.site import SERVERS, Site, hand_over
from tests.e2e.waiting import wait_for
from tests.support import sounds

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

TRACKS = 64
EVERY_WORKER = {"batch@one", "batch@two", "interactive@here", "train@here", "trial@here"}
CLEAN = (0, -15)  # Uvicorn, when it has ended in order, passes the signal on


@pytest.fixture
def site() -> Iterator[Site]:
    with (
        tempfile.TemporaryDirectory(prefix="mfa-site-") as folder,
        tempfile.TemporaryDirectory(prefix="mfa-site-servers-") as servers,
        local_stack(stack_settings(Path(servers)), SERVERS_ONLY) as stack,
    ):
        made = Site(Path(folder), stack.database_url)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture
def rows(site: Site) -> Iterator[SessionFactory]:
    engine = create_database_engine(site.database_url)
    yield create_session_factory(engine)
    engine.dispose()


def ended(process: subprocess.Popen[bytes], site: Site, within_s: float = 90) -> int:
    """The exit code; 90 s are what Compose gives to whoever is asked to stop."""
    try:
        return process.wait(within_s)
    except subprocess.TimeoutExpired:
        raise AssertionError("it does not end\n" + all_logs(site)) from None


def all_logs(site: Site) -> str:
    return "\n".join(f"== {path.name}\n{path.read_text()}" for path in (site.root / "logs").iterdir())


def fill(folder: Path, numbers: range) -> None:
    """A sound of its own for each number."""
    folder.mkdir()
    for index in numbers:
        samples = sounds.chord([110 + index, 330 + index], 6) + sounds.noise(6, seed=index, level=0.02)
        sounds.write(folder / f"{index:03d}.wav", samples)


def submit(http: httpx.Client, path: str) -> str:
    params = {"library": "music", "path": path}
    answer = http.post("/jobs", json={"kind": "analysis", "params": params})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def read(http: httpx.Client, job_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = http.get(f"/jobs/{job_id}").raise_for_status().json()
    return answer


def wait_for_end(http: httpx.Client, job_id: str) -> dict[str, Any]:
    return wait_for(lambda: job if (job := read(http, job_id))["finished_at"] else None, 120, 0.2)


def workers_of(rows: SessionFactory) -> set[str]:
    """Names of all that have been heard of, but for the dispatcher's."""
    with rows() as session:
        return set(session.scalars(select(Worker.name).where(~Worker.name.startswith(DISPATCHER))))


def units_of(rows: SessionFactory, job_id: str) -> list[JobUnit]:
    with rows() as session:
        return list(session.scalars(select(JobUnit).where(JobUnit.job_id == UUID(job_id))))


def test_the_services_work_stop_when_asked_and_keep_their_secrets(site: Site, rows: SessionFactory) -> None:
    fill(site.root / "music" / "few", range(TRACKS, TRACKS + 6))
    fill(site.root / "music" / "many", range(TRACKS))
    hand_over(site.root)

    site.start_broker()
    for once in ("migrate", "models"):
        assert ended(site.start(once), site) == 0, all_logs(site)
    key = site.ask("api.bootstrap").strip()
    workers = [site.start("worker", host) for host in ("one", "two")]
    rest = ("gateway", "dispatcher", "worker-interactive", "worker-train", "worker-trial")
    others = [site.start(name) for name in rest]
    assert site.started == set(site.services) - set(SERVERS)
    url = f"http://127.0.0.1:{site.port}"

    def is_ready() -> bool | None:
        assert all(process.poll() is None for process in (*workers, *others)), all_logs(site)
        try:
            ready = httpx.get(f"{url}/readyz", trust_env=False).is_success
            return (ready and workers_of(rows) == EVERY_WORKER) or None
        except httpx.TransportError:
            return None

    wait_for(is_ready, 120, 0.2)
    bearer = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=f"{url}/api/v1", headers=bearer, timeout=30, trust_env=False) as http:
        assert httpx.get(f"{url}/api/v1/jobs", trust_env=False).status_code == 401
        with socket.create_connection(("127.0.0.1", site.port)) as stranger:
            stranger.sendall(b"no HTTP\r\n\r\n")
            assert b"400" in stranger.recv(100)
        http.post("/libraries", json={"name": "music", "path": str(site.root / "music")}).raise_for_status()
        told = site.ask("api.client.cli", "label", "/music/few", MFA_API_KEY=key)
        assert "6 tracks labelled" in told
        (job,) = http.get("/jobs").raise_for_status().json()["items"]
        assert (job["state"], job["params"]["path"]) == ("succeeded", "few")
        few = job["id"]

        many = submit(http, "many")
        wait_for(lambda: read(http, many)["progress"]["done"] >= 4 or None, 60)
        for worker in workers:
            worker.terminate()
        assert [ended(worker, site) for worker in workers] == [0, 0]
        left = [unit for unit in units_of(rows, many) if unit.state != UnitState.DONE]
        assert left, "over before the workers were stopped"
        for unit in left:
            assert unit.state in (UnitState.READY, UnitState.DISPATCHED)
            assert (unit.attempt, unit.crash_count, unit.claim_id, unit.last_error) == (0, 0, None, None)
        workers = [site.start("worker", "three")]
        job = wait_for_end(http, many)
        assert (job["state"], job["progress"]["done"]) == ("succeeded", TRACKS), all_logs(site)
        assert {unit.attempt for unit in units_of(rows, many)} == {1}
        assert_nothing_lost_or_doubled(rows, many, TRACKS)

    for process in (*workers, *others):
        process.terminate()
    assert all(ended(process, site) in CLEAN for process in (*workers, *others)), all_logs(site)

    named = [line for line in site.lines() if {"job", "unit"} <= set(line)]
    assert {few, many} <= {line["job"] for line in named}
    assert any(line["logger"] == "api.requests" and line.get("job") == many for line in site.lines())
    assert any("Invalid HTTP request" in line["message"] for line in site.lines())  # what Uvicorn says
    for secret in (*site.passwords, key):
        assert secret not in all_logs(site)


def test_no_secret_gets_into_a_log_when_nothing_can_be_reached(site: Site) -> None:
    key = "mfa_01234567_" + "k" * 43
    for spec in site.services.values():
        if spec["image"].startswith("mfa-"):
            spec["environment"] = spec["environment"] | {"MFA_LOG_LEVEL": "DEBUG"}
    wrong = "0" * 64
    site.rewrite("mfa_database_url", site.passwords[0], wrong)  # the broker is not there at all
    migrate = site.start("migrate")
    processes = [site.start(name) for name in ("gateway", "dispatcher", "worker-interactive")]
    url = f"http://127.0.0.1:{site.port}"

    def refusal() -> int | None:
        try:
            headers = {"Authorization": f"Bearer {key}"}
            return httpx.get(f"{url}/api/v1/jobs", headers=headers, trust_env=False).status_code
        except httpx.TransportError:
            return None

    assert ended(migrate, site) != 0
    assert wait_for(refusal, 60) == 503, all_logs(site)
    for name in ("dispatcher-here", "worker-interactive-here"):
        wait_for(partial(site.log_of, name), 60)
    for process in processes:
        process.terminate()
    for process in processes:
        ended(process, site)
    for secret in (wrong, *site.passwords, key):
        assert secret not in all_logs(site)
    assert "password authentication failed" in all_logs(site)
    assert site.lines()
