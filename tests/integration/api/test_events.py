"""The event stream of a job."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from api.routes import events
from core.states import JobState
from core.store.session import SessionFactory
from core.store.tables import ApiKey, Job
from tests.integration.api.gateway import bearer, problem_of
from tests.support.builders import make_api_key, make_job


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(events, "LOOK_EVERY_S", 0.02)


def read_states(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))["state"]


def test_the_stream_shows_every_change_and_ends_with_the_job(http, db: SessionFactory):
    with db.begin() as session:
        job = make_job(session)
    with http.stream("GET", f"/api/v1/jobs/{job.id}/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        states = read_states(response.iter_lines())
        assert next(states) == "queued"
        for state in (JobState.RUNNING, JobState.SUCCEEDED):
            with db.begin() as session:
                session.get_one(Job, job.id).state = state
            assert next(states) == state
        assert list(states) == []


def test_nothing_is_sent_while_nothing_changes(http, db, monkeypatch):
    monkeypatch.setattr(events, "MAX_STREAM_S", 0.3)
    with db.begin() as session:
        job = make_job(session, state=JobState.RUNNING)
    assert http.get(f"/api/v1/jobs/{job.id}/events").text.count("event: job") == 1


def test_an_ended_job_is_one_event(http, db):
    with db.begin() as session:
        job = make_job(session, state=JobState.CANCELLED)
    response = http.get(f"/api/v1/jobs/{job.id}/events")
    assert list(read_states(iter(response.text.splitlines()))) == ["cancelled"]


@pytest.mark.parametrize("field", ["revoked_at", "expires_at"])
def test_a_stream_ends_with_its_key(keyed_http, db, field):
    with db.begin() as session:
        key, secret = make_api_key(session)
        job = make_job(session, owner=str(key.id))
    with keyed_http.stream("GET", f"/api/v1/jobs/{job.id}/events", headers=bearer(secret)) as response:
        states = read_states(response.iter_lines())
        assert next(states) == "queued"
        with db.begin() as session:
            setattr(session.get_one(ApiKey, key.id), field, datetime.now(UTC))
        began = time.monotonic()
        assert list(states) == []
    assert time.monotonic() - began < 5


def test_the_number_of_streams_is_bounded_and_each_is_given_back(http, db, monkeypatch):
    monkeypatch.setattr(events, "streams", asyncio.Semaphore(2))
    with db.begin() as session:
        job = make_job(session)
    address = f"/api/v1/jobs/{job.id}/events"
    with http.stream("GET", address) as first, http.stream("GET", address) as second:
        assert (first.status_code, second.status_code) == (200, 200)
        assert problem_of(http.get(address), 503) == "unavailable"
    for _ in range(100):
        with http.stream("GET", address) as again:
            if again.status_code == 200:
                return
        time.sleep(0.02)
    pytest.fail("closed streams are still counted")


def test_a_stream_holds_no_connection_to_the_database(http, db, open_url):
    """More streams than the pool has connections, all served."""
    with db.begin() as session:
        job = make_job(session)
    opened = threading.Barrier(31, timeout=20)

    def listen() -> None:
        with http.stream("GET", f"/api/v1/jobs/{job.id}/events") as response:
            for _ in read_states(response.iter_lines()):
                opened.wait()

    listeners = [threading.Thread(target=listen) for _ in range(30)]
    for listener in listeners:
        listener.start()
    opened.wait()
    with db.begin() as session:
        session.get_one(Job, job.id).state = JobState.CANCELLED
    opened.wait()
    for listener in listeners:
        listener.join()
