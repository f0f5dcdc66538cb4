"""One worker holds a unit at a time, and only who holds it may write for it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from threading import Barrier
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from sqlalchemy import func, update
from sqlalchemy.orm import Session

from core.errors import LeaseLost
from core.jobs import claims, endings
from core.jobs.claims import Claim
from core.jobs.counters import count_items
from core.jobs.dispatch import take_ready
from core.jobs.items import Outcome, load_work, record_outcomes
from core.jobs.jobs import cancel_job
from core.states import ItemState, JobState, UnitState
from core.store.session import SessionFactory, transaction
from core.store.tables import JobItem, JobUnit
from tests.support.planned import (
    claim,
    counters,
    expire,
    finish,
    item_states,
    make_due,
    plan_job,
    read_job,
    read_unit,
    reap,
    record,
    try_claim,
)

T = TypeVar("T")


def together(count: int, work: Callable[[int], T]) -> list[T]:
    """The answers of `count` threads that do the same at the same moment."""
    start = Barrier(count)

    def one(index: int) -> T:
        start.wait(timeout=10)
        return work(index)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count), timeout=30))


def claim_of_a_thread(sessions: SessionFactory, unit_id: int, _: int) -> Claim | None:
    return try_claim(sessions, unit_id)


def test_of_eight_workers_that_receive_one_message_one_gets_the_unit(clean_database):
    planned = plan_job(clean_database, 1, 1, 1)
    for unit_id in planned.unit_ids:
        claims = together(8, partial(claim_of_a_thread, clean_database, unit_id))
        (won,) = [claimed for claimed in claims if claimed is not None]
        unit = read_unit(clean_database, unit_id)
        assert (unit.state, unit.claim_id, unit.attempt) == (UnitState.RUNNING, won.claim_id, 1)


def test_the_first_claim_of_a_job_starts_it(clean_database):
    planned = plan_job(clean_database, 1)
    claimed = claim(clean_database, planned.unit_ids[0])
    job = read_job(clean_database, planned.job_id)
    assert job.state == JobState.RUNNING
    assert job.started_at is not None
    assert (claimed.job_id, claimed.kind, claimed.params) == (job.id, "analyse", {"library": "music"})


def test_a_dispatched_unit_can_be_claimed(clean_database):
    planned = plan_job(clean_database, 1)
    with transaction(clean_database) as session:
        assert [bell.unit_id for bell in take_ready(session, "batch", 4)] == planned.unit_ids
    assert try_claim(clean_database, planned.unit_ids[0]) is not None


def test_a_duplicate_message_finds_nothing_to_do(clean_database):
    unit_id = plan_job(clean_database, 1).unit_ids[0]
    claimed = claim(clean_database, unit_id)
    assert try_claim(clean_database, unit_id) is None
    finish(clean_database, claimed)
    assert try_claim(clean_database, unit_id) is None
    assert try_claim(clean_database, unit_id + 1000) is None


def test_a_duplicate_message_does_not_cut_a_back_off_short(clean_database):
    unit_id = plan_job(clean_database, 1).unit_ids[0]
    claimed = claim(clean_database, unit_id)
    with transaction(clean_database) as session:
        endings.fail_unit(session, claimed, "internal", "The disk was away.")
    assert try_claim(clean_database, unit_id) is None
    make_due(clean_database, unit_id)
    assert try_claim(clean_database, unit_id) is not None


def test_a_unit_of_a_cancelled_job_cannot_be_claimed(clean_database):
    planned = plan_job(clean_database, 1)
    with transaction(clean_database) as session:
        cancel_job(session, planned.job_id)
    assert try_claim(clean_database, planned.unit_ids[0]) is None


def test_the_work_of_a_claim_is_what_has_no_outcome_yet(clean_database):
    unit_id = plan_job(clean_database, 3).unit_ids[0]
    claimed = claim(clean_database, unit_id)
    record(clean_database, claimed, [1])
    with clean_database() as session:
        assert [item.pos for item in load_work(session, claimed)] == [0, 2]


def write_something(session: Session, claimed: Claim) -> None:
    record_outcomes(session, claimed, [Outcome(0, ItemState.DONE, b"late")])


def fail(session: Session, claimed: Claim) -> None:
    endings.fail_unit(session, claimed, "internal", "Something.")


WRITES = [
    claims.renew_lease,
    claims.hold_lease,
    write_something,
    endings.finish_unit,
    endings.cancel_unit,
    endings.release_unit,
    fail,
]


def lose_by_time(sessions: SessionFactory, unit_id: int) -> None:
    expire(sessions, unit_id)


def lose_to_the_reaper(sessions: SessionFactory, unit_id: int) -> None:
    expire(sessions, unit_id)
    assert reap(sessions) == 1


def lose_to_another_worker(sessions: SessionFactory, unit_id: int) -> None:
    lose_to_the_reaper(sessions, unit_id)
    claim(sessions, unit_id)


def lose_to_the_end(sessions: SessionFactory, unit_id: int) -> None:
    lose_to_the_reaper(sessions, unit_id)
    finish(sessions, claim(sessions, unit_id))


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
@pytest.mark.parametrize("lose", [lose_by_time, lose_to_the_reaper, lose_to_another_worker, lose_to_the_end])
def test_a_worker_that_lost_its_lease_changes_nothing(clean_database, lose, write):
    unit_id = plan_job(clean_database, 2).unit_ids[0]
    late = claim(clean_database, unit_id)
    lose(clean_database, unit_id)
    before = columns(read_unit(clean_database, unit_id))
    with pytest.raises(LeaseLost), transaction(clean_database) as session:
        write(session, late)
    assert columns(read_unit(clean_database, unit_id)) == before
    assert item_states(clean_database, unit_id) == ["pending", "pending"]


def columns(unit: JobUnit) -> dict[str, Any]:
    return {column.name: getattr(unit, column.name) for column in JobUnit.__table__.columns}


def test_a_late_worker_cannot_name_its_item_either(clean_database):
    unit_id = plan_job(clean_database, 2).unit_ids[0]
    late = claim(clean_database, unit_id)
    lose_to_another_worker(clean_database, unit_id)
    with transaction(clean_database) as session:
        claims.mark_current(session, late, 1)
    assert read_unit(clean_database, unit_id).current_pos is None


def test_a_write_that_has_begun_keeps_the_reaper_out(clean_database):
    """Whoever comes first wins: the reaper passes by a unit that is just being written for."""
    unit_id = plan_job(clean_database, 1).unit_ids[0]
    claimed = claim(clean_database, unit_id)
    with transaction(clean_database) as writing:
        claims.hold_lease(writing, claimed)
        writing.execute(update(JobUnit).values(lease_until=func.clock_timestamp()))
        assert reap(clean_database) == 0
        record_outcomes_of_a_held_lease(writing, claimed)
    assert counters(clean_database, unit_id) == (1, 0, 0)


def record_outcomes_of_a_held_lease(session: Session, claimed: Claim) -> None:
    session.execute(update(JobItem).values(state=ItemState.DONE))
    count_items(session, claimed)


def test_a_unit_ends_while_a_planner_adds_others_to_its_job(clean_database):
    planned = plan_job(clean_database, 1, 1)
    held = claim(clean_database, planned.unit_ids[0])
    record(clean_database, held, [0])
    with ThreadPoolExecutor(1) as pool, clean_database() as session:
        session.add(JobUnit(job_id=planned.job_id, seq=3, kind="analyse", queue="batch"))
        session.flush()
        pool.submit(finish, clean_database, held).result(timeout=10)
        session.rollback()
    assert read_unit(clean_database, planned.unit_ids[0]).state == UnitState.DONE


def test_renewing_and_writing_extend_the_lease(clean_database):
    unit_id = plan_job(clean_database, 2).unit_ids[0]
    claimed = claim(clean_database, unit_id)
    ends = [lease_end(clean_database, unit_id)]
    with transaction(clean_database) as session:
        claims.renew_lease(session, claimed)
    ends.append(lease_end(clean_database, unit_id))
    record(clean_database, claimed, [0])
    ends.append(lease_end(clean_database, unit_id))
    assert ends == sorted(ends)
    assert len(set(ends)) == 3


def lease_end(sessions: SessionFactory, unit_id: int) -> datetime:
    lease_until = read_unit(sessions, unit_id).lease_until
    assert lease_until is not None
    return lease_until


def test_counters_equal_the_rows_after_repeated_writes_of_an_outcome(clean_database):
    unit_id = plan_job(clean_database, 4).unit_ids[0]
    claimed = claim(clean_database, unit_id)
    record(clean_database, claimed, [0, 1])
    record(clean_database, claimed, [0, 1])
    record(clean_database, claimed, [2], ItemState.FAILED)
    record(clean_database, claimed, [3], ItemState.SKIPPED)
    assert counters(clean_database, unit_id) == (2, 1, 1)
    lose_to_the_reaper(clean_database, unit_id)
    record(clean_database, claim(clean_database, unit_id), [0, 1, 2, 3])
    assert counters(clean_database, unit_id) == (4, 0, 0)


def test_a_released_unit_is_ready_at_once_and_has_not_failed(clean_database):
    unit_id = plan_job(clean_database, 1).unit_ids[0]
    for _ in range(endings.MAX_ATTEMPTS + 2):
        claimed = claim(clean_database, unit_id)
        with transaction(clean_database) as session:
            endings.release_unit(session, claimed)
    unit = read_unit(clean_database, unit_id)
    assert (unit.state, unit.attempt, unit.crash_count, unit.claim_id) == (UnitState.READY, 0, 0, None)


def test_the_lease_of_a_worker_known_to_be_dead_ends_at_once(clean_database):
    planned = plan_job(clean_database, 1, 1)
    with transaction(clean_database) as session:
        claims.claim_unit(session, planned.unit_ids[0], "killed", 90)
        claims.claim_unit(session, planned.unit_ids[1], "alive", 90)
    with transaction(clean_database) as session:
        claims.expire_lease(session, "killed")
        claims.expire_lease(session, str(uuid4()))
    assert reap(clean_database) == 1
    assert [read_unit(clean_database, unit_id).state for unit_id in planned.unit_ids] == ["ready", "running"]
