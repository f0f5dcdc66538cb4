"""What anyone with the broker's password may put into a queue: at most, they name a waiting unit."""

import base64
import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis
from sqlalchemy import select

from core.config.params import JobKind
from core.jobs.queue import KEY_PREFIX
from core.settings import PROJECT
from core.states import UnitState
from core.store.session import SessionFactory
from core.store.tables import JobUnit
from tests.integration.workers.test_liveness import heartbeats, started
from tests.support.builders import make_job, make_library, make_model
from tests.support.stack import eventually

QUEUE = KEY_PREFIX + "interactive"
DATABASE_OF_THESE_TESTS = 7


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def message(task: str, body: bytes, content_type: str = "application/json", **headers: Any) -> str:
    envelope = {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "utf-8" if content_type == "application/json" else "binary",
        "content-type": content_type,
        "headers": {"lang": "py", "task": task, "id": str(uuid4()), **headers},
        "properties": {
            "correlation_id": str(uuid4()),
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "interactive"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid4()),
        },
    }
    return json.dumps(envelope)


def task_message(task: str, *args: Any, **kwargs: Any) -> str:
    return message(task, json.dumps([args, kwargs, {}]).encode())


def forged(trap: Path, unit_id: int) -> Iterator[str]:
    """Everything that is no valid task message; `unit_id` is that of a unit that waits for `mfa.predict`."""
    pickled = pickle.dumps(((unit_id, Touch(trap)), {}, {}))
    for content_type in ("application/x-python-serialize", "pickle", "application/json"):
        yield message("mfa.predict", pickled, content_type)
    yaml = f'!!python/object/apply:os.mkdir ["{trap}"]'.encode()
    yield message("mfa.predict", yaml, "application/x-yaml")
    yield message("mfa.predict", b"x", "application/data")
    for name in ("nothing", "os.system", "celery.backend_cleanup", "celery.chain", "celery.map"):
        yield task_message(name, f"mkdir {trap}")
    yield task_message("mfa.predict", "x" * 20_000_000)
    yield message("mfa.predict", b"[" * 100_000)
    for args in (
        (),
        ("1",),
        (None,),
        (True,),
        (1.5,),
        ([unit_id],),
        ({"id": unit_id},),
        (10**30,),
        (-1,),
        (1, 2),
    ):
        yield task_message("mfa.predict", *args)
    yield task_message("mfa.predict", unit_id=str(unit_id))
    yield task_message("mfa.predict", unit_id, trap=str(trap))
    for task in ("mfa.plan", "mfa.analyse", "mfa.train", "mfa.trial", "mfa.study", "mfa.thresholds"):
        yield task_message(task, unit_id)
    yield task_message("mfa.predict", 10**9)
    unit, nothing = [unit_id], {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    after = {"task": "mfa.predict", "args": unit, "kwargs": {}, "options": {}}
    for embedded in ({"chain": [after]}, {"callbacks": [after]}, {"chord": after}):
        yield message("mfa.predict", json.dumps([unit, {}, nothing | embedded]).encode())
    right = json.dumps([unit, {}, nothing]).encode()
    yield message("mfa.predict", right, eta="2036-01-01T00:00:00")
    yield message("mfa.predict", right, timelimit=[1e9, None])
    yield message("mfa.predict", right, id=None)
    yield message("mfa.predict", right, id=["x"])
    for body in (b"[]", b"{}", b"null", b"\xff", b"[[1], {}, []]", b""):
        yield message("mfa.predict", body)


@pytest.fixture
def redis(broker_url: str) -> Iterator[Redis]:
    with Redis.from_url(f"{broker_url.rpartition('/')[0]}/{DATABASE_OF_THESE_TESTS}") as client:
        client.flushdb()
        yield client
        client.flushdb()


def rows(sessions: SessionFactory) -> list[tuple[Any, ...]]:
    with sessions() as session:
        units = session.scalars(select(JobUnit).order_by(JobUnit.id))
        return [(unit.id, unit.state, unit.attempt, unit.crash_count, unit.claim_id) for unit in units]


@pytest.mark.slow
def test_a_forged_message_does_nothing_and_its_worker_goes_on(
    clean_database, database_url, broker_url, redis, tmp_path
):
    with clean_database.begin() as session:
        make_library(session)
        model = make_model(session)
        job = make_job(session, kind=JobKind.PREDICT, model_id=model.id)
        unit_id = session.scalars(select(JobUnit.id).where(JobUnit.job_id == job.id)).one()
    environment = {
        "MFA_DATABASE_URL": database_url,
        "MFA_BROKER_URL": f"{broker_url.rpartition('/')[0]}/{DATABASE_OF_THESE_TESTS}",
        "MFA_DATA_DIR": str(tmp_path),
        "PYTHONPATH": str(PROJECT),
    }
    log, trap = tmp_path / "worker.log", tmp_path / "trap"
    before = rows(clean_database)
    with started(environment, log) as process:
        eventually(lambda: heartbeats(clean_database), 90)
        for each in forged(trap, unit_id):
            redis.lpush(QUEUE, each)
        eventually(lambda: redis.llen(QUEUE) == 0, 60)
        assert rows(clean_database) == before
        redis.lpush(QUEUE, task_message("mfa.predict", unit_id))  # behind all of them, and a right one
        eventually(lambda: rows(clean_database)[0][1] != UnitState.READY, 60)
        assert process.poll() is None, log.read_text()[-5000:]
    assert [row[:2] for row in before] == [(unit_id, UnitState.READY)]
    assert not trap.exists()
