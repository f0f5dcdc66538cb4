"""The dispatcher against a real broker: few messages on their way, none lost, none published for nothing."""

import base64
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis
from sqlalchemy import select, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from core.jobs import endings, reaping
from core.jobs.jobs import cancel_job, notify_dispatcher
from core.jobs.queue import KEY_PREFIX, Broker, make_celery
from core.jobs.workers import record_heartbeat
from core.settings import Settings
from core.states import JobState, UnitState
from core.store.session import SessionFactory, transaction
from core.store.tables import Job, JobUnit, Worker
from tests.support.builders import make_job, make_run, make_worker
from tests.support.planned import claim, expire, finish, plan_job, read_job, read_unit, try_claim
from workers import dispatcher as dispatcher_module
from workers.dispatcher import WINDOW_PER_SLOT, Dispatcher
from workers.notifications import NotificationListener

DATABASE_OF_THESE_TESTS = 9
DAY_S = 24 * 3600
LONG_S = 60.0  # longer than any wait in here may take


@pytest.fixture(autouse=True)
def _nothing_gets_lost_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is."""
    monkeypatch.setattr(dispatcher_module, "LOST_AFTER_S", 600.0)


@pytest.fixture
def own_settings(database_url: str, broker_url: str, tmp_path: Path) -> Settings:
    broker_url = broker_url.rpartition("/")[0] + f"/{DATABASE_OF_THESE_TESTS}"
    return Settings(database_url=database_url, broker_url=broker_url, data_dir=tmp_path)


@pytest.fixture
def redis(own_settings: Settings) -> Iterator[Redis]:
    with Redis.from_url(own_settings.broker_url) as client:
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture
def make_dispatcher(
    own_settings: Settings, redis: Redis, clean_database: SessionFactory
) -> Iterator[Callable[[], Dispatcher]]:
    made = []

    def make() -> Dispatcher:
        made.append(Dispatcher(own_settings))
        return made[-1]

    yield make
    for dispatcher in made:
        dispatcher.close()


@pytest.fixture
def dispatcher(make_dispatcher: Callable[[], Dispatcher]) -> Dispatcher:
    """A dispatcher that has run a round already, as its first one takes back whatever was on its way."""
    made = make_dispatcher()
    made.tick()
    return made


def queued(redis: Redis, queue: str = "batch") -> list[int]:
    """The units whose messages lie in a queue, the next one first."""
    messages = [json.loads(message) for message in redis.lrange(KEY_PREFIX + queue, 0, -1)]
    return [json.loads(base64.b64decode(message["body"]))[0][0] for message in reversed(messages)]


def answer(redis: Redis, sessions: SessionFactory) -> None:
    """A worker takes the next message, does the unit and finishes it."""
    unit_id = queued(redis)[0]
    redis.rpop(KEY_PREFIX + "batch")
    finish(sessions, claim(sessions, unit_id))


def states(sessions: SessionFactory) -> list[str]:
    with sessions() as session:
        return list(session.scalars(select(JobUnit.state).order_by(JobUnit.id)))


def test_a_message_is_the_id_of_a_unit_and_nothing_else(dispatcher, redis, clean_database):
    (unit_id,) = plan_job(clean_database, 1).unit_ids
    dispatcher.tick()
    (message,) = (json.loads(each) for each in redis.lrange(KEY_PREFIX + "batch", 0, -1))
    args, kwargs, _ = json.loads(base64.b64decode(message["body"]))
    assert (message["headers"]["task"], args, kwargs) == ("mfa.analyse", [unit_id], {})


def test_only_a_window_of_messages_is_published(dispatcher, redis, clean_database):
    unit_ids = plan_job(clean_database, *[1] * 20).unit_ids
    for _ in range(3):
        dispatcher.tick()
        assert queued(redis) == unit_ids[:WINDOW_PER_SLOT]
    answer(redis, clean_database)
    answer(redis, clean_database)
    dispatcher.tick()
    assert queued(redis) == unit_ids[2 : 2 + WINDOW_PER_SLOT]


def test_nothing_is_published_while_there_is_too_little_disk_space(
    make_dispatcher, redis, clean_database, monkeypatch
):
    dispatcher = make_dispatcher()
    (unit_id,) = plan_job(clean_database, 1).unit_ids
    monkeypatch.setattr(dispatcher.space, "find_shortage", lambda: "Only 3 MB are free.")
    assert dispatcher.tick()
    assert (queued(redis), states(clean_database)) == ([], ["ready"])
    monkeypatch.setattr(dispatcher.space, "find_shortage", lambda: None)
    assert dispatcher.tick()
    assert queued(redis) == [unit_id]


def test_the_window_grows_with_the_slots_of_the_living_workers(dispatcher, redis, clean_database):
    plan_job(clean_database, *[1] * 40)
    with transaction(clean_database) as session:
        make_worker(session, "plan", "batch", slots=2)
        make_worker(session, "batch", slots=3)
        make_worker(session, "batch", slots=100, draining=True)
        silent = make_worker(session, "batch", slots=100)
        session.execute(
            text("UPDATE workers SET beat_at = now() - interval '31 s' WHERE name = :name"),
            {"name": silent.name},
        )
    dispatcher.tick()
    assert len(queued(redis)) == 5 * WINDOW_PER_SLOT


def test_jobs_take_turns(dispatcher, redis, clean_database):
    big = plan_job(clean_database, *[1] * 20).unit_ids
    small = plan_job(clean_database, 1, 1).unit_ids
    dispatcher.tick()
    assert queued(redis) == [big[0], small[0], big[1], small[1]]


def test_units_of_each_queue_come_under_its_own_name(dispatcher, redis, clean_database):
    with transaction(clean_database) as session:
        make_job(session)
        make_job(session, kind="predict")
    dispatcher.tick()
    assert [len(queued(redis, queue)) for queue in ("plan", "batch", "interactive")] == [1, 0, 1]


def test_a_unit_that_waits_out_a_back_off_is_not_published(dispatcher, redis, clean_database):
    (unit_id,) = plan_job(clean_database, 1).unit_ids
    with transaction(clean_database) as session:
        session.execute(text("UPDATE job_units SET run_after = now() + interval '1 hour'"))
    dispatcher.tick()
    assert queued(redis) == []
    with transaction(clean_database) as session:
        session.execute(text("UPDATE job_units SET run_after = now()"))
    dispatcher.tick()
    assert queued(redis) == [unit_id]


def test_messages_that_the_broker_lost_are_published_again(dispatcher, redis, clean_database, monkeypatch):
    unit_ids = plan_job(clean_database, 1, 1).unit_ids
    dispatcher.tick()
    redis.delete(KEY_PREFIX + "batch")
    dispatcher.tick()
    assert queued(redis) == []  # one may be in the hands of a worker that is about to claim
    monkeypatch.setattr(dispatcher_module, "LOST_AFTER_S", 0.0)
    dispatcher.tick()
    assert queued(redis) == unit_ids


def test_one_message_lost_out_of_a_queue_that_is_never_empty_is_published_again(
    dispatcher, redis, clean_database, monkeypatch
):
    unit_ids = plan_job(clean_database, 1, 1, 1).unit_ids
    dispatcher.tick()
    redis.rpop(KEY_PREFIX + "batch")  # a worker takes it and dies before it claims
    monkeypatch.setattr(dispatcher_module, "LOST_AFTER_S", 0.0)
    dispatcher.tick()
    assert queued(redis) == [*unit_ids[1:], unit_ids[0]]


def with_body(body: str) -> str:
    return json.dumps({"body": base64.b64encode(body.encode()).decode()})


STRANGE = [
    b"\xff",
    "",
    "[]",
    "{}",
    "[" * 100_000,
    *map(with_body, ["[]", "[[], {}, {}]", "[[1e999], {}, {}]", "[[NaN], {}, {}]", "[" * 100_000]),
    *(with_body(f"[[{number}], {{}}, {{}}]") for number in (10**30, -(10**30), '"1"', '"x"', "null", "[1]")),
    with_body(json.dumps([["x" * 20_000_000], {}, {}])),
]


@pytest.mark.parametrize("message", STRANGE, ids=range(len(STRANGE)))
def test_a_malformed_message_does_no_harm(dispatcher, redis, clean_database, message):
    unit_ids = plan_job(clean_database, 1).unit_ids
    redis.lpush(KEY_PREFIX + "batch", message)
    dispatcher.tick()
    assert states(clean_database) == ["dispatched"]
    redis.ltrim(KEY_PREFIX + "batch", 0, 0)
    assert queued(redis) == unit_ids


def test_a_message_that_still_waits_is_not_published_again(dispatcher, redis, clean_database, monkeypatch):
    monkeypatch.setattr(dispatcher_module, "LOST_AFTER_S", 0.0)
    unit_ids = plan_job(clean_database, 1, 1).unit_ids
    for _ in range(3):
        dispatcher.tick()
    assert queued(redis) == unit_ids


def test_a_broker_that_was_reset_gets_all_messages_again_at_once(dispatcher, redis, clean_database):
    unit_ids = plan_job(clean_database, 1, 1, 1).unit_ids
    dispatcher.tick()
    claimed = claim(clean_database, unit_ids[0])
    redis.flushdb()
    dispatcher.tick()
    assert queued(redis) == unit_ids[1:]
    assert states(clean_database) == ["running", "dispatched", "dispatched"]
    finish(clean_database, claimed)
    assert [read_unit(clean_database, unit_id).attempt for unit_id in unit_ids] == [1, 0, 0]


def test_a_dispatcher_that_starts_rings_again_what_the_last_one_left(make_dispatcher, redis, clean_database):
    unit_ids = plan_job(clean_database, 1).unit_ids
    make_dispatcher().tick()
    make_dispatcher().tick()
    assert queued(redis) == unit_ids * 2
    assert try_claim(clean_database, unit_ids[0]) is not None
    assert try_claim(clean_database, unit_ids[0]) is None


def test_two_dispatchers_do_not_undo_what_the_other_did(make_dispatcher, redis, clean_database):
    both = [make_dispatcher(), make_dispatcher()]
    for each in both:
        each.tick()
    unit_ids = plan_job(clean_database, *[1] * 9).unit_ids
    for _ in range(3):
        for each in both:
            each.tick()
    assert queued(redis) == unit_ids[:WINDOW_PER_SLOT]


def test_two_dispatchers_both_see_that_the_broker_lost_its_memory(own_settings, redis):
    brokers = [Broker(own_settings), Broker(own_settings)]
    assert [broker.was_reset() for broker in brokers] == [True, True]
    assert [broker.was_reset() for broker in brokers] == [False, False]
    redis.flushdb()
    assert [broker.was_reset() for broker in brokers] == [True, True]
    assert [broker.was_reset() for broker in brokers] == [False, False]
    for broker in brokers:
        broker.close()


def unreachable(settings: Settings) -> Settings:
    return settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0"})


def test_nothing_is_lost_while_the_broker_is_away(dispatcher, own_settings, redis, clean_database):
    unit_ids = plan_job(clean_database, 1, 1).unit_ids
    there, dispatcher.broker = dispatcher.broker, Broker(unreachable(own_settings))
    assert not dispatcher.tick()
    dispatcher.broker.close()
    assert states(clean_database) == ["ready", "ready"]
    dispatcher.broker = there
    dispatcher.tick()
    assert queued(redis) == unit_ids


def test_what_could_not_be_published_is_published_later(
    dispatcher, own_settings, redis, clean_database, monkeypatch
):
    unit_ids = plan_job(clean_database, 1, 1).unit_ids
    there, dispatcher.celery = dispatcher.celery, make_celery(unreachable(own_settings))
    dispatcher.celery.conf.broker_connection_timeout = 0.1
    assert not dispatcher.tick()
    dispatcher.celery.close()
    assert queued(redis) == []
    dispatcher.celery = there
    monkeypatch.setattr(dispatcher_module, "LOST_AFTER_S", 0.0)
    dispatcher.tick()
    assert queued(redis) == unit_ids


def test_a_round_ends_what_was_cancelled(dispatcher, redis, clean_database):
    planned = plan_job(clean_database, *[1] * 10)
    dispatcher.tick()
    with transaction(clean_database) as session:
        cancel_job(session, planned.job_id)
    dispatcher.tick()
    assert set(states(clean_database)) == {UnitState.CANCELLED}
    assert read_job(clean_database, planned.job_id).state == JobState.CANCELLED
    assert all(try_claim(clean_database, unit_id) is None for unit_id in queued(redis))


def test_a_round_gives_the_units_of_the_dead_to_others(dispatcher, redis, clean_database):
    (unit_id,) = plan_job(clean_database, 1).unit_ids
    claim(clean_database, unit_id)
    expire(clean_database, unit_id)
    dispatcher.tick()
    assert queued(redis) == [unit_id]
    assert read_unit(clean_database, unit_id).crash_count == 1


def test_a_unit_that_cannot_be_requeued_holds_up_no_other(dispatcher, redis, clean_database, monkeypatch):
    stuck, other = (plan_job(clean_database, 1).unit_ids[0] for _ in range(2))
    for unit_id in (stuck, other):
        claim(clean_database, unit_id)
        expire(clean_database, unit_id)
    requeue_unit = endings.requeue_unit

    def fail(session: Session, unit_id: int, **values: Any) -> None:
        requeue_unit(session, unit_id, **values)
        if unit_id == stuck:
            raise ValueError("nobody foresaw this")

    monkeypatch.setattr(reaping, "requeue_unit", fail)
    dispatcher.tick()
    assert queued(redis) == [other]
    assert read_unit(clean_database, stuck).state == UnitState.RUNNING
    monkeypatch.undo()
    dispatcher.tick()
    assert set(queued(redis)) == {stuck, other}


def test_a_step_that_fails_keeps_no_unit_from_being_published(dispatcher, redis, clean_database, monkeypatch):
    (unit_id,) = plan_job(clean_database, 1).unit_ids

    def fail(*_: object) -> None:
        raise ValueError("nobody foresaw this")

    monkeypatch.setattr(dispatcher_module, "reap_expired", fail)
    assert not dispatcher.tick()
    assert queued(redis) == [unit_id]


def test_what_a_dead_worker_left_comes_before_all_that_waits(dispatcher, redis, clean_database):
    unit_ids = plan_job(clean_database, *[1] * 10).unit_ids
    dispatcher.tick()
    lost = queued(redis)[0]
    redis.rpop(KEY_PREFIX + "batch")
    claim(clean_database, lost)
    dispatcher.tick()
    assert queued(redis) == unit_ids[1 : 1 + WINDOW_PER_SLOT]
    expire(clean_database, lost)
    dispatcher.tick()
    assert queued(redis) == [lost, *unit_ids[1 : 1 + WINDOW_PER_SLOT]]


def test_the_sweep_deletes_uploads_that_no_open_job_needs_and_nothing_else(
    dispatcher, own_settings, clean_database
):
    folder = own_settings.uploads_dir
    folder.mkdir()
    with transaction(clean_database) as session:
        waiting = make_job(session, kind="predict")
        ended = make_job(session, kind="predict", state=JobState.FAILED, unit={"state": "failed"})

    def put(name: str, age_s: float = DAY_S) -> None:
        (folder / name).write_bytes(b"a song")
        os.utime(folder / name, (time.time() - age_s,) * 2)

    orphan, young = str(uuid4()), str(uuid4())
    put(str(waiting.id))
    put(str(ended.id))
    put(orphan)
    put(young, age_s=0)
    put("notes.txt")
    (folder / str(uuid4())).mkdir()
    (folder / "lost+found").mkdir()
    before = {path.name for path in folder.iterdir()}
    dispatcher.sweep()
    assert before - {path.name for path in folder.iterdir()} == {str(ended.id), orphan}


def test_the_sweep_keeps_checkpoints_as_long_as_somebody_may_want_them(
    dispatcher, own_settings, clean_database
):
    folder = own_settings.training_dir
    with transaction(clean_database) as session:
        at_work, ended = make_run(session), make_run(session)
    with transaction(clean_database) as session:
        session.execute(update(JobUnit).where(JobUnit.job_id == ended.id).values(state="cancelled"))
        session.execute(update(Job).where(Job.id == ended.id).values(state="cancelled"))
    for name, days in ((str(at_work.id), 30), (str(ended.id), 8), (str(uuid4()), 1), ("notes", 30)):
        (folder / name / "model").mkdir(parents=True)
        os.utime(folder / name, (time.time() - days * DAY_S,) * 2)
    before = {path.name for path in folder.iterdir()}
    dispatcher.sweep()
    assert before - {path.name for path in folder.iterdir()} == {str(ended.id)}


def test_the_sweep_removes_rows_of_dead_workers(dispatcher, clean_database):
    with transaction(clean_database) as session:
        make_worker(session, "batch", name="old")
        session.execute(text("UPDATE workers SET beat_at = now() - interval '2 hours'"))
        record_heartbeat(session, "new", ["batch"], 1, draining=False)
    dispatcher.sweep()
    with clean_database() as session:
        assert list(session.scalars(select(Worker.name))) == ["new"]


@pytest.fixture
def listener(database_url: str) -> Iterator[NotificationListener]:
    made = NotificationListener(database_url)
    made.wait(LONG_S)  # listens from now on
    yield made
    made.close()


def took_s(act: Callable[[], object]) -> float:
    begun = time.monotonic()
    act()
    return time.monotonic() - begun


def test_new_units_wake_the_dispatcher(listener, clean_database):
    awake = threading.Event()

    def wait() -> None:
        listener.wait(LONG_S)
        awake.set()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    assert not awake.is_set()
    with transaction(clean_database) as session:
        notify_dispatcher(session)
    assert awake.wait(timeout=10)
    thread.join(timeout=10)


def test_a_request_to_stop_ends_every_wait(listener):
    listener.wake()
    assert took_s(lambda: (listener.wait(LONG_S), listener.wait(LONG_S))) < 30


def test_a_lost_connection_only_costs_a_second(listener, clean_database):
    listening = (
        "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN %' AND datname = current_database()"
    )
    with clean_database() as session:
        session.execute(text(f"SELECT pg_terminate_backend(pid) FROM ({listening}) AS listeners"))
    assert took_s(lambda: (listener.wait(LONG_S), listener.wait(LONG_S))) < 30
    with transaction(clean_database) as session:
        notify_dispatcher(session)
    assert took_s(lambda: listener.wait(LONG_S)) < 30


def test_it_rests_while_no_job_is_open(dispatcher, clean_database):
    assert dispatcher.is_at_rest
    (unit_id,) = plan_job(clean_database, 0).unit_ids
    dispatcher.tick()
    assert not dispatcher.is_at_rest
    claimed = claim(clean_database, unit_id)
    dispatcher.tick()
    assert not dispatcher.is_at_rest
    finish(clean_database, claimed)
    dispatcher.tick()
    assert dispatcher.is_at_rest


def test_it_does_not_rest_when_the_database_is_away(dispatcher, monkeypatch):
    def fail(_session: Session) -> bool:
        raise OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr(dispatcher_module, "has_open_jobs", fail)
    assert not dispatcher.tick()
    assert not dispatcher.is_at_rest
