"""How a unit ends is what its body's ending calls for."""

import errno
from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from core.errors import LibraryNotFound, Unavailable
from core.jobs.claims import Claim
from core.jobs.endings import finish_unit
from core.jobs.jobs import cancel_job
from core.jobs.kinds import UnitSpec
from core.settings import Settings
from core.states import JobState, UnitState
from core.store.session import transaction
from tests.support.planned import claim, expire, make_due, plan_job, read_items, read_job, read_unit, reap
from tests.support.worker import run, until
from workers import lease as lease_module
from workers import runner
from workers.lease import Lease, Stop


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch):
    monkeypatch.setattr(lease_module, "POLL_EVERY_S", 0.02)


def raises(error: Exception) -> runner.Body:
    def body(_: Lease) -> None:
        raise error

    return body


def does_nothing(_: Lease) -> None:
    pass


def test_a_body_that_returns_is_done(clean_database):
    planned = plan_job(clean_database, 1)
    run(clean_database, planned.unit_ids[0], does_nothing)
    assert read_unit(clean_database, planned.unit_ids[0]).state == UnitState.DONE
    assert read_job(clean_database, planned.job_id).state == JobState.SUCCEEDED


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        (LibraryNotFound(), UnitState.FAILED, "library_not_found"),
        (Unavailable(), UnitState.READY, None),
        (RuntimeError("a surprise"), UnitState.READY, None),
    ],
)
def test_what_a_body_raises_decides_whether_it_is_tried_again(clean_database, error, state, code):
    planned = plan_job(clean_database, 1)
    run(clean_database, planned.unit_ids[0], raises(error))
    assert read_unit(clean_database, planned.unit_ids[0]).state == state
    assert read_job(clean_database, planned.job_id).error_code == code
    assert str(error) in (read_unit(clean_database, planned.unit_ids[0]).last_error or "")


def test_a_body_that_stops_because_of_a_cancel_is_cancelled(clean_database):
    planned = plan_job(clean_database, 1)

    def body(lease: Lease) -> None:
        with transaction(clean_database) as session:
            cancel_job(session, lease.claim.job_id)
        until(lambda: lease.stop is Stop.CANCELLED)
        lease.check()

    run(clean_database, planned.unit_ids[0], body)
    assert read_unit(clean_database, planned.unit_ids[0]).state == UnitState.CANCELLED
    assert read_job(clean_database, planned.job_id).state == JobState.CANCELLED


def test_a_body_that_ends_all_the_same_under_a_cancel_is_done_and_its_job_cancelled(clean_database):
    planned = plan_job(clean_database, 1)

    def body(lease: Lease) -> None:
        with transaction(clean_database) as session:
            cancel_job(session, lease.claim.job_id)

    run(clean_database, planned.unit_ids[0], body)
    assert read_unit(clean_database, planned.unit_ids[0]).state == UnitState.DONE
    assert read_job(clean_database, planned.job_id).state == JobState.CANCELLED


FULL = text("DO $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$")


def waits_for_the_stop(lease: Lease) -> None:
    until(lambda: lease.stop is not None)
    lease.check()


def writes_to_a_full_database(lease: Lease) -> None:
    lease.start_item(0)
    lease.write(lambda session: session.execute(FULL))


def reads_by_a_file_of_the_full_database(lease: Lease) -> None:
    with lease.sessions() as session:
        session.execute(FULL)


@pytest.mark.parametrize(
    ("body", "shortage"),
    [
        (waits_for_the_stop, "Only 3 MB are free."),
        (raises(OSError(errno.ENOSPC, "No space left on device")), "Only 3 MB are free."),
        (writes_to_a_full_database, None),
        (reads_by_a_file_of_the_full_database, None),
    ],
)
def test_a_unit_that_lacks_disk_space_is_handed_back_and_waits_a_little(clean_database, body, shortage):
    """However often: that is no failed attempt and no crash, and blames no track."""
    planned = plan_job(clean_database, 1)
    (unit_id,) = planned.unit_ids
    for _ in range(7):
        make_due(clean_database, unit_id)
        runner.run_claim(claim(clean_database, unit_id), "here", clean_database, body, lambda: shortage)
        unit = read_unit(clean_database, unit_id)
        assert (unit.state, unit.attempt, unit.crash_count) == (UnitState.READY, 0, 0)
        assert 3 < (unit.run_after - datetime.now(UTC)).total_seconds() <= runner.SPACE_DELAY_S
    assert [item.crash_count for item in read_items(clean_database, unit_id)] == [0]
    make_due(clean_database, unit_id)
    run(clean_database, unit_id, does_nothing)
    assert read_job(clean_database, planned.job_id).state == JobState.SUCCEEDED


def test_an_ending_that_the_full_database_refuses_once_hands_the_unit_back(clean_database, monkeypatch):
    planned = plan_job(clean_database, 1)
    (unit_id,) = planned.unit_ids
    refusals = [1]

    def refused_once(session: Session, claimed: Claim) -> None:
        if refusals:
            refusals.pop()
            session.execute(FULL)
        finish_unit(session, claimed)

    monkeypatch.setattr(runner, "finish_unit", refused_once)
    run(clean_database, unit_id, does_nothing)
    assert read_unit(clean_database, unit_id).state == UnitState.READY
    make_due(clean_database, unit_id)
    run(clean_database, unit_id, does_nothing)
    assert read_job(clean_database, planned.job_id).state == JobState.SUCCEEDED


def test_a_cancelled_unit_without_disk_space_is_cancelled(clean_database):
    planned = plan_job(clean_database, 1)

    def body(lease: Lease) -> None:
        until(lambda: lease.stop is Stop.NO_SPACE)
        with transaction(clean_database) as session:
            cancel_job(session, lease.claim.job_id)
        until(lambda: lease.stop is Stop.CANCELLED)
        lease.check()

    claimed = claim(clean_database, planned.unit_ids[0])
    runner.run_claim(claimed, "here", clean_database, body, lambda: "Only 3 MB are free.")
    assert read_unit(clean_database, planned.unit_ids[0]).state == UnitState.CANCELLED


@pytest.mark.parametrize("error", [None, RuntimeError("late"), LibraryNotFound()])
def test_no_ending_of_a_body_changes_anything_after_its_lease_was_lost(clean_database, error):
    planned = plan_job(clean_database, 1)
    unit_id = planned.unit_ids[0]

    def body(_: Lease) -> None:
        expire(clean_database, unit_id)
        reap(clean_database)
        claim(clean_database, unit_id)
        if error is not None:
            raise error

    run(clean_database, unit_id, body)
    assert read_unit(clean_database, unit_id).state == UnitState.RUNNING
    assert read_job(clean_database, planned.job_id).error_code is None


def test_a_unit_is_claimed_under_the_id_of_its_task_message(clean_database, monkeypatch):
    monkeypatch.setattr(runner, "get_sessions", lambda: clean_database)
    monkeypatch.setattr(runner, "get_settings", lambda: Settings(database_url="", lease_s=50))
    monkeypatch.setattr(runner, "resolve_name", {"the:body": lambda lease: body(lease)}.get)
    planned = plan_job(clean_database, 1)
    specs = {kind: UnitSpec(kind, "batch", "the:body") for kind in ("analyse", "plan")}
    seen = []

    def body(lease: Lease) -> None:
        seen.append((read_unit(clean_database, lease.claim.unit_id).claimed_by, lease.claim.lease_s))

    (unit_id,) = planned.unit_ids
    runner.run_unit(specs["plan"], unit_id, task_id="forged", worker="worker@test")  # the wrong body
    assert seen == []
    monkeypatch.setattr(runner, "find_data_shortage", lambda _: "Only 3 MB are free.")
    runner.run_unit(specs["analyse"], unit_id, task_id="message", worker="worker@test")
    assert seen == []
    monkeypatch.setattr(runner, "find_data_shortage", lambda _: None)
    for _ in range(3):
        runner.run_unit(specs["analyse"], unit_id, task_id="message", worker="worker@test")
    assert seen == [("message", 50)]
