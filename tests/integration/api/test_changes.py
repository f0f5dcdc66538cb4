"""The stream of everything that changes."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api import watch
from api.routes import events
from core.states import JobState
from core.store.session import SessionFactory
from core.store.tables import ApiKey, Job
from tests.integration.api.gateway import bearer
from tests.support.builders import make_api_key, make_job, make_unit


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(watch, "REST", 0)
    monkeypatch.setattr(events, "CHECK_KEY_EVERY_S", 0.1)


def read_events(response: httpx.Response) -> Iterator[tuple[str, Any]]:
    """Names and contents."""
    name = ""
    for line in response.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        if line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def next_jobs(found: Iterator[tuple[str, Any]]) -> Any:
    return next(content for name, content in found if name == "jobs")


def test_it_tells_what_is_there_and_then_what_changes(http, db: SessionFactory):
    with db.begin() as session:
        job = make_job(session, total=10)
        unit = make_unit(session, job)
    with http.stream("GET", "/api/v1/events") as response:
        found = read_events(response)
        name, readiness = next(found)
        assert name == "readiness"
        assert "No dispatcher runs." in readiness["missing"]
        assert [(each["id"], each["state"]) for each in next_jobs(found)["changed"]] == [
            (str(job.id), "queued")
        ]
        with db.begin() as session:
            begun = session.merge(unit)
            begun.done, begun.started_at = 3, job.created_at
        assert [each["progress"]["done"] for each in next_jobs(found)["changed"]] == [3]
        with db.begin() as session:
            session.get_one(Job, job.id).state = JobState.RUNNING
        assert [each["state"] for each in next_jobs(found)["changed"]] == ["running"]
        with db.begin() as session:
            session.delete(session.get_one(Job, job.id))
        assert next_jobs(found) == {"changed": [], "gone": [str(job.id)]}


def test_it_tells_only_of_the_callers_own_jobs(keyed_http, db):
    with db.begin() as session:
        owner, secret = make_api_key(session)
        _, admin = make_api_key(session, "admin")
        own = make_job(session, owner=str(owner.id))
        make_job(session, owner="somebody")
    for key, count in ((secret, 1), (admin, 2)):
        with keyed_http.stream("GET", "/api/v1/events", headers=bearer(key)) as response:
            told = [each["id"] for each in next_jobs(read_events(response))["changed"]]
            assert len(told) == count
            assert str(own.id) in told


def test_it_ends_with_the_key(keyed_http, db):
    with db.begin() as session:
        key, secret = make_api_key(session)
    with keyed_http.stream("GET", "/api/v1/events", headers=bearer(secret)) as response:
        found = read_events(response)
        next(found)
        with db.begin() as session:
            session.delete(session.get_one(ApiKey, key.id))
        assert list(found) == []


def test_it_ends_after_a_while_and_tells_nothing_while_nothing_changes(http, db, monkeypatch):
    monkeypatch.setattr(events, "MAX_STREAM_S", 0.3)
    with db.begin() as session:
        make_job(session, state=JobState.RUNNING)
    with http.stream("GET", "/api/v1/events") as response:
        assert [name for name, _ in read_events(response)] == ["readiness", "jobs"]


def test_many_streams_cost_one_look(http, db, monkeypatch):
    looks = 0
    original = watch.watch_jobs

    def count(*arguments):
        nonlocal looks
        looks += 1
        return original(*arguments)

    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0.2)
    monkeypatch.setattr(watch, "watch_jobs", count)
    monkeypatch.setattr(events, "MAX_STREAM_S", 0.5)
    with http.stream("GET", "/api/v1/events") as one, http.stream("GET", "/api/v1/events") as another:
        assert [name for name, _ in read_events(one)] == ["readiness"]
        assert [name for name, _ in read_events(another)] == ["readiness"]
    assert 2 <= looks <= 5
