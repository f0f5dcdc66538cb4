"""Gateway, broker and workers go away while a page is open: it says so, and goes on by itself."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from sqlalchemy import delete, func, select, update

from core.jobs.kinds import serving_queues
from core.jobs.workers import DEAD_AFTER_S, record_heartbeat
from core.local import valkey
from core.local.command import environment_of, free_port
from core.settings import PROJECT, Settings
from core.states import JobState
from core.store.session import SessionFactory
from core.store.tables import Job, JobUnit, Worker
from tests.support.chromium import complaints
from tests.support.planned import expire, make_due
from workers.dispatcher import Dispatcher

PATIENCE_S = 30  # the longest pause between two tries of a page is 15 s
AWAY = "The server does not answer; trying again."


class Server:
    """A process that is killed and started again at the same place."""

    def __init__(self, argv: list[str], stdin: str, settings: Settings, is_ready: Callable[[], bool]) -> None:
        self._argv, self._stdin, self._is_ready = argv, stdin, is_ready
        self._environment = os.environ | environment_of(settings)
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            self._argv, stdin=pipe, stdout=subprocess.DEVNULL, env=self._environment, cwd=PROJECT, text=True
        )
        assert self._process.stdin is not None
        self._process.stdin.write(self._stdin)
        self._process.stdin.close()
        deadline = time.monotonic() + 60
        while not self._is_ready():
            assert self._process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def is_dead(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def started(server: Server) -> Iterator[Server]:
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="module")
def broker(open_settings: Settings) -> Iterator[tuple[Server, str]]:
    port, password = free_port(), valkey.new_password()
    command = valkey.server(port, password)
    server = Server(list(command.argv), command.stdin, open_settings, lambda: valkey.is_ready(port, password))
    with started(server):
        yield server, valkey.url(port, password)


@pytest.fixture(scope="module")
def gateway(open_settings: Settings, broker: tuple[Server, str]) -> Iterator[tuple[Server, str]]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = open_settings.model_copy(update={"broker_url": broker[1], "port": port})

    def answers() -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{url}/healthz", trust_env=False).is_success
        return False

    uvicorn = ["-m", "uvicorn", "--factory", "api.main:create_app", "--port", str(port)]
    argv = [sys.executable, *uvicorn, "--log-level", "warning"]
    with started(Server(argv, "", settings, answers)) as server:
        yield server, url


def beat(sessions: SessionFactory, *but: str) -> None:
    """Of a dispatcher, and of a worker that serves all queues but some."""
    with sessions.begin() as session:
        served = sorted(set(serving_queues()) - set(but))
        record_heartbeat(session, "worker@here", served, 1, draining=False)
        record_heartbeat(session, "dispatcher-here", [], 0, draining=False)


def age(sessions: SessionFactory, worker: str) -> None:
    """Make the last heartbeat of a worker too old to count as alive."""
    with sessions.begin() as session:
        long_ago = func.now() - timedelta(seconds=DEAD_AFTER_S + 1)
        session.execute(update(Worker).where(Worker.name == worker).values(beat_at=long_ago))


def test_a_page_outlives_its_servers(
    browser: Chrome, broker: tuple[Server, str], gateway: tuple[Server, str], filled: SessionFactory
):
    beat(filled)
    server, url = gateway
    browser.get(f"{url}/jobs")
    wait = WebDriverWait(browser, PATIENCE_S)
    said = browser.find_element(By.TAG_NAME, "mfa-connection")
    assert not said.is_displayed()
    browser.execute_script("window.same = true")

    server.kill()
    wait.until(lambda _: said.text == AWAY)
    with filled.begin() as session:
        job = session.scalars(select(Job).where(Job.state == JobState.RUNNING)).one()
        job.state = JobState.CANCELLING
        job_id = job.id
    server.start()
    beat(filled)
    wait.until(lambda _: not said.is_displayed())
    wait.until(lambda driver: "cancelling" in driver.find_element(By.ID, f"job-{job_id}").text)

    broker[0].kill()
    beat(filled)
    wait.until(lambda _: said.text == "The broker does not answer.")
    broker[0].start()
    beat(filled)
    wait.until(lambda _: not said.is_displayed())

    assert browser.execute_script("return window.same")  # the page was never reloaded
    browser.get("about:blank")  # or it would miss the gateway at the end
    assert all("ERR_" in each for each in complaints(browser))  # that the killed gateway did not answer


def test_a_page_outlives_a_worker_that_is_killed_at_work(
    browser: Chrome,
    broker: tuple[Server, str],
    gateway: tuple[Server, str],
    filled: SessionFactory,
    open_settings: Settings,
    tmp_path: Path,
):
    """It dies in the middle of a map, which another one draws while the page of the job stays open."""
    failpoints = tmp_path / "failpoints"
    failpoints.mkdir()
    (failpoints / "map-written").touch()
    settings = open_settings.model_copy(update={"broker_url": broker[1], "failpoints_dir": failpoints})
    url, name = gateway[1], f"mortal@{socket.gethostname()}"
    wait = WebDriverWait(browser, PATIENCE_S)

    def is_seen() -> bool:
        with filled() as session:
            return session.scalar(select(Worker).where(Worker.name == name)) is not None

    def is_shown(word: str) -> bool:
        return word in browser.find_element(By.TAG_NAME, "main").text

    celery = ["-m", "celery", "-A", "workers.app", "worker", "-Q", "batch", "-P", "solo", "-n", name]
    quiet = ["-l", "error", "--without-gossip", "--without-mingle"]
    worker = Server([sys.executable, *celery, *quiet], "", settings, is_seen)
    with filled.begin() as session:
        session.execute(delete(JobUnit))  # of jobs that this is not about
    with started(worker), closing(Dispatcher(settings)) as dispatcher:
        asked = {"kind": "map", "params": {}}
        job = httpx.post(f"{url}/api/v1/jobs", json=asked, trust_env=False).raise_for_status().json()
        beat(filled, "batch")
        browser.get(f"{url}/jobs/{job['id']}")
        said = browser.find_element(By.TAG_NAME, "mfa-connection")
        wait.until(lambda _: not said.is_displayed())
        browser.execute_script("window.same = true")
        wait.until(lambda _: dispatcher.tick() and worker.is_dead())

        beat(filled, "batch")
        age(filled, name)
        wait.until(lambda _: "No worker takes from the queue" in said.text)
        assert not is_shown("succeeded")
        with filled.begin() as session:
            session.execute(delete(Worker).where(Worker.name == name))
            unit_id = session.scalars(select(JobUnit.id)).one()
        worker.start()
        expire(filled, unit_id)
        dispatcher.tick()
        make_due(filled, unit_id)  # without the pause after a crash
        beat(filled, "batch")
        wait.until(lambda _: dispatcher.tick() and is_shown("succeeded") and not said.is_displayed())
        assert browser.execute_script("return window.same")
        browser.get("about:blank")
