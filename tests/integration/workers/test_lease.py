"""A lease while a unit is worked on: kept while the work moves, guarded at every write, given up in time."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import NullPool, create_engine, event, func, select, text, update
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from core.errors import LeaseLost
from core.jobs.items import Outcome, record_outcomes
from core.jobs.jobs import cancel_job
from core.jobs.workers import is_draining, record_heartbeat
from core.states import ItemState
from core.store.session import SessionFactory, create_session_factory, transaction
from core.store.tables import JobItem, JobUnit
from tests.support.planned import claim, counters, expire, item_states, plan_job, read_unit, reap, try_claim
from tests.support.worker import WORKER, until
from workers import lease as lease_module
from workers.lease import Lease, Stop, Stopped


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "POLL_EVERY_S", 0.02)


class Outage:
    """A way to the database that can be cut for a while."""

    def __init__(self, url: str) -> None:
        self._url = url.replace("+psycopg", "")
        self.is_on = False
        self.refused = 0
        self._engine = create_engine("postgresql+psycopg://", creator=self._connect, poolclass=NullPool)
        self.sessions = create_session_factory(self._engine)

    def _connect(self) -> psycopg.Connection:
        if self.is_on:
            self.refused += 1
            raise psycopg.OperationalError("connection refused")
        return psycopg.connect(self._url)


@pytest.fixture
def outage(clean_database: SessionFactory, database_url: str) -> Outage:
    return Outage(database_url)


@contextmanager
def working(sessions: SessionFactory, size: int = 2, lease_s: float = 90) -> Iterator[Lease]:
    planned = plan_job(sessions, size)
    with Lease(claim(sessions, planned.unit_ids[0], lease_s), WORKER, sessions) as lease:
        yield lease


def record_first(lease: Lease) -> Callable[[Session], None]:
    def work(session: Session) -> None:
        record_outcomes(session, lease.claim, [Outcome(0, ItemState.DONE)])

    return work


def test_a_lease_is_renewed_while_the_work_moves(clean_database):
    with working(clean_database, lease_s=3) as lease:
        first = read_unit(clean_database, lease.claim.unit_id).lease_until
        assert first is not None

        def moved_on() -> bool:
            lease.start_item(0)
            renewed = read_unit(clean_database, lease.claim.unit_id).lease_until
            return renewed is not None and renewed > first

        until(moved_on)
        assert lease.stop is None
        lease.write(record_first(lease))
    assert counters(clean_database, lease.claim.unit_id) == (1, 0, 0)


def test_a_lease_ends_when_the_work_is_stuck_although_the_process_lives(clean_database, monkeypatch):
    monkeypatch.setattr(lease_module, "STALL_S", 0.1)
    with working(clean_database, lease_s=0.3) as lease:
        until(lambda: reap(clean_database) == 1)
        with pytest.raises(LeaseLost):
            lease.write(record_first(lease))
        lease.start_item(1)  # it moves again, too late
        until(lambda: lease.stop is Stop.LEASE_LOST)
        with pytest.raises(Stopped):
            lease.check()


def test_a_lost_lease_is_noticed_soon(clean_database):
    with working(clean_database, lease_s=0.5) as lease:
        expire(clean_database, lease.claim.unit_id)
        reap(clean_database)
        assert try_claim(clean_database, lease.claim.unit_id) is not None
        until(lambda: lease.stop is Stop.LEASE_LOST)


def test_a_lease_is_given_up_when_the_database_is_away_for_longer(outage):
    with working(outage.sessions, lease_s=0.6) as lease:
        outage.is_on = True
        until(lambda: lease.stop is Stop.LEASE_LOST)
        with pytest.raises(LeaseLost):
            lease.write(record_first(lease))


def test_an_outage_shorter_than_the_lease_is_waited_out(outage):
    with working(outage.sessions) as lease:
        outage.is_on = True
        threading.Timer(0.3, setattr, (outage, "is_on", False)).start()
        lease.start_item(1)
        lease.write(record_first(lease))
        assert lease.stop is None
    assert outage.refused > 0
    assert counters(outage.sessions, lease.claim.unit_id) == (1, 0, 0)
    assert read_unit(outage.sessions, lease.claim.unit_id).current_pos == 1


def test_a_write_whose_connection_breaks_is_repeated_and_counts_once(clean_database):
    calls = []

    def work(session: Session) -> None:
        calls.append(session.scalars(select(func.pg_backend_pid())).one())
        record_outcomes(session, lease.claim, [Outcome(0, ItemState.DONE), Outcome(1, ItemState.FAILED)])
        if len(calls) == 1:
            with clean_database() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": calls[0]})
            session.execute(text("SELECT 1"))

    with working(clean_database) as lease:
        lease.write(work)
    assert len(set(calls)) == 2
    assert counters(clean_database, lease.claim.unit_id) == (1, 1, 0)


def test_a_commit_of_unknown_outcome_is_repeated_and_counts_once(outage):
    sessions, commits = outage.sessions, []

    @event.listens_for(sessions, "after_commit")
    def break_once(_: Session) -> None:
        commits.append(1)
        if len(commits) == 1:
            raise OperationalError(
                "COMMIT", None, psycopg.OperationalError("gone"), connection_invalidated=True
            )

    with working(clean := create_session_factory(sessions.kw["bind"])) as lease:
        lease.sessions = sessions
        lease.write(record_first(lease))
    assert len(commits) >= 2
    assert counters(clean, lease.claim.unit_id) == (1, 0, 0)


def test_writes_that_lock_each_other_out_are_repeated(clean_database):
    """Two workers that lock the same rows crosswise: the one that Postgres picks simply tries again."""
    planned = plan_job(clean_database, 1, 1)
    met = threading.Barrier(2)
    calls = []

    def lock(session: Session, order: list[int]) -> None:
        calls.append(order)
        for index, unit_id in enumerate(order):
            session.execute(update(JobItem).where(JobItem.unit_id == unit_id).values(error_detail="seen"))
            if index == 0 and len(calls) <= 2:
                met.wait(timeout=10)

    def work(unit_id: int, order: list[int]) -> None:
        with Lease(claim(clean_database, unit_id), WORKER, clean_database) as lease:
            lease.write(lambda session: lock(session, order))

    first, second = planned.unit_ids
    other = threading.Thread(target=work, args=(second, [second, first]))
    other.start()
    work(first, [first, second])
    other.join(timeout=30)
    assert len(calls) == 3


def test_a_mistake_in_a_statement_is_not_repeated(clean_database):
    calls = []

    def work(session: Session) -> None:
        calls.append(1)
        session.execute(text("SELECT no_such_column"))

    with working(clean_database) as lease, pytest.raises(ProgrammingError):
        lease.write(work)
    assert len(calls) == 1


def test_nothing_of_a_write_is_kept_when_the_lease_is_lost(clean_database):
    with working(clean_database) as lease:
        expire(clean_database, lease.claim.unit_id)
        with pytest.raises(LeaseLost):
            lease.write(record_first(lease))
    assert item_states(clean_database, lease.claim.unit_id) == ["pending", "pending"]


def test_a_cancel_is_seen(clean_database):
    with working(clean_database) as lease:
        with transaction(clean_database) as session:
            cancel_job(session, lease.claim.job_id)
        until(lambda: lease.stop is Stop.CANCELLED)


def test_a_drain_of_the_own_worker_is_seen_and_that_of_another_is_not(clean_database, monkeypatch):
    looks: list[str] = []

    def look(session: Session, name: str) -> bool:
        looks.append(name)
        return is_draining(session, name)

    monkeypatch.setattr(lease_module, "is_draining", look)
    with transaction(clean_database) as session:
        record_heartbeat(session, "worker@elsewhere", ["batch"], 1, draining=True)
    with working(clean_database) as lease:
        until(lambda: len(looks) >= 2)
        assert lease.stop is None
        with transaction(clean_database) as session:
            record_heartbeat(session, WORKER, ["batch"], 1, draining=True)
        until(lambda: lease.stop is Stop.DRAINING)


def test_a_unit_that_takes_too_long_is_asked_to_stop(clean_database, monkeypatch):
    monkeypatch.setattr(lease_module, "MAX_UNIT_S", 0.05)
    with working(clean_database) as lease:
        until(lambda: lease.stop is Stop.TIME_IS_UP)


def test_the_thread_of_a_lease_ends_with_the_work(clean_database):
    with working(clean_database):
        assert "lease" in {thread.name for thread in threading.enumerate()}
    assert "lease" not in {thread.name for thread in threading.enumerate()}
    with clean_database() as session:
        assert session.scalars(select(JobUnit.lease_until)).one() is not None
