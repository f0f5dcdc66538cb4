"""How a unit ends is what its body's ending calls for."""

import pytest

from core.errors import LibraryNotFound, Unavailable
from core.jobs.jobs import cancel_job
from core.jobs.kinds import UnitSpec
from core.settings import Settings
from core.states import JobState, UnitState
from core.store.session import transaction
from tests.support.planned import claim, expire, plan_job, read_job, read_unit, reap
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
    for _ in range(3):
        runner.run_unit(specs["analyse"], unit_id, task_id="message", worker="worker@test")
    assert seen == [("message", 50)]
