"""What happens to a running batch when parts of the system die: nothing is lost, nothing is done twice."""

import itertools
import time
from pathlib import Path

import httpx
import pytest
from redis import Redis

from core.jobs.dispatch import take_ready
from core.jobs.queue import make_celery, publish
from tests.e2e.conftest import RunningStack
from tests.e2e.rows import assert_nothing_lost_or_doubled
from tests.e2e.waiting import wait_for
from tests.support import sounds
from tests.support.processes import POOL_CHILD, children_of

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

TRACKS = 96


@pytest.fixture(scope="module")
def library(running: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a library that takes long enough for a fault to hit the middle of its analysis."""
    root: Path = tmp_path_factory.mktemp("faults")
    for index in range(TRACKS):
        samples = sounds.chord([110 + index, 330 + index], 7) + sounds.noise(7, seed=index, level=0.02)
        sounds.write(root / f"{index:03d}.wav", samples)
    running.add_library("faults", root)
    return "faults"


def _assert_complete(running: RunningStack, job_id: str) -> None:
    job = running.wait_for_end(job_id)
    assert job["state"] == "succeeded", job
    assert job["progress"]["done"] == TRACKS, job
    assert_nothing_lost_or_doubled(running.sessions, job_id, TRACKS)


def test_a_killed_worker_child_costs_nothing(running: RunningStack, library: str) -> None:
    job_id = running.submit(library, force=True)
    running.wait_for_outcomes(job_id, 16)
    children_of(running.process("worker-batch"), POOL_CHILD)[0].kill()
    _assert_complete(running, job_id)


def test_a_killed_worker_parent_costs_nothing(running: RunningStack, library: str) -> None:
    job_id = running.submit(library, force=True)
    running.wait_for_outcomes(job_id, 16)
    parent = running.process("worker-batch")
    parent.kill()
    _assert_complete(running, job_id)
    assert running.process("worker-batch").pid != parent.pid


def test_a_flushed_broker_costs_nothing(running: RunningStack, library: str) -> None:
    job_id = running.submit(library, force=True)
    running.wait_for_outcomes(job_id, 16)
    with Redis.from_url(running.stack.broker_url) as redis:
        redis.flushall()
    _assert_complete(running, job_id)


def test_messages_delivered_three_times_do_nothing_twice(running: RunningStack, library: str) -> None:
    settings = running.settings.model_copy(update={"broker_url": running.stack.broker_url})
    celery = make_celery(settings)
    job_id = running.submit(library, force=True)
    running.wait_for_outcomes(job_id, 1)
    with running.sessions() as session, session.begin():
        messages = take_ready(session, "batch", 1000)
    for message in itertools.chain.from_iterable(itertools.repeat(messages[::-1], 3)):
        publish(celery, message.kind, message.queue, message.unit_id)
    _assert_complete(running, job_id)
    celery.close()


def test_a_gateway_killed_before_its_message_is_published_loses_no_job(
    running: RunningStack, library: str
) -> None:
    dispatcher = running.process("dispatcher")
    dispatcher.suspend()
    try:
        job_id = running.submit(library, force=True)
        gateway = running.process("api")
        gateway.kill()
    finally:
        dispatcher.resume()
    wait_for(lambda: _answers(running) or None, 60)
    _assert_complete(running, job_id)


def _answers(running: RunningStack) -> bool:
    try:
        return running.http.get("/jobs", params={"limit": 1}).is_success
    except httpx.TransportError:
        return False


def test_a_cancelled_batch_stops_and_keeps_its_results(running: RunningStack, library: str) -> None:
    job_id = running.submit(library, force=True)
    running.wait_for_outcomes(job_id, 8)

    cancelled = running.http.post(f"/jobs/{job_id}/cancel")
    assert cancelled.status_code == 202
    assert cancelled.json()["state"] in ("cancelling", "cancelled")

    job = running.wait_for_end(job_id, timeout_s=15)
    assert job["state"] == "cancelled"
    done = job["progress"]["done"]
    assert 8 <= done < TRACKS
    results = running.http.get(f"/jobs/{job_id}/results").json()
    assert len(results) == done
    again = running.http.post(f"/jobs/{job_id}/cancel")
    assert again.status_code == 202
    time.sleep(2)  # long enough for a worker that had not stopped to write again
    assert running.job(job_id)["progress"]["done"] == done


def test_progress_only_grows_while_a_batch_runs(running: RunningStack, library: str) -> None:
    job_id = running.submit(library, force=True)
    running.wait_for_outcomes(job_id, 1)
    progress = []
    for _ in range(20):
        progress.append(running.job(job_id)["progress"])
        time.sleep(0.05)
    counts = [row["done"] + row["failed"] + row["skipped"] for row in progress]
    assert counts == sorted(counts)
    assert all(row["percent"] <= 100 for row in progress)
    _assert_complete(running, job_id)
