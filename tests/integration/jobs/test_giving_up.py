"""Units that fail or crash: they are tried again a bounded number of times, and cost no other's outcome."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select, update

from core.jobs import claims, endings, reaping
from core.jobs.claims import Claim
from core.jobs.endings import MAX_ATTEMPTS
from core.jobs.reaping import MAX_CRASHES, MAX_ITEM_CRASHES
from core.states import ItemState, JobState, UnitState
from core.store.session import SessionFactory, transaction
from core.store.tables import JobUnit
from tests.support.planned import (
    Planned,
    claim,
    counters,
    expire,
    finish,
    item_states,
    make_due,
    plan_job,
    read_items,
    read_job,
    read_unit,
    reap,
    record,
)


def fail(sessions: SessionFactory, claimed: Claim, *, permanent: bool = False) -> None:
    with transaction(sessions) as session:
        endings.fail_unit(session, claimed, "unavailable", "The store was away.", permanent=permanent)


def crash(sessions: SessionFactory, unit_id: int, at: int | None = None, *, by_itself: bool = False) -> None:
    """A worker claims the unit, comes to an item and is gone, or dies there `by_itself`."""
    make_due(sessions, unit_id)
    claimed = claim(sessions, unit_id)
    if at is not None:
        with transaction(sessions) as session:
            claims.mark_current(session, claimed, at)
    if by_itself:
        with transaction(sessions) as session:
            claims.expire_lease(session, f"task of {unit_id}", crashed=True)
    else:
        expire(sessions, unit_id)
    assert reap(sessions) == 1


def test_a_failed_unit_waits_longer_each_time_and_is_given_up_in_the_end(clean_database):
    planned = plan_job(clean_database, 3)
    unit_id = planned.unit_ids[0]
    record(clean_database, first := claim(clean_database, unit_id), [0])
    fail(clean_database, first)
    delays = [delay(clean_database, unit_id)]
    for _ in range(MAX_ATTEMPTS - 2):
        make_due(clean_database, unit_id)
        fail(clean_database, claim(clean_database, unit_id))
        delays.append(delay(clean_database, unit_id))
    assert delays == sorted(delays)
    assert 1 < delays[0] < delays[-1] <= endings.MAX_BACKOFF_S
    assert read_unit(clean_database, unit_id).last_error == "The store was away."

    make_due(clean_database, unit_id)
    fail(clean_database, claim(clean_database, unit_id))
    assert read_unit(clean_database, unit_id).state == UnitState.FAILED
    assert item_states(clean_database, unit_id) == ["done", "failed", "failed"]
    assert {item.error_code for item in read_items(clean_database, unit_id)} == {None, "gave_up"}
    assert counters(clean_database, unit_id) == (1, 2, 0)
    job = read_job(clean_database, planned.job_id)
    assert (job.state, job.error_code, job.error_detail) == ("failed", "unavailable", "The store was away.")
    assert job.finished_at is not None


def delay(sessions: SessionFactory, unit_id: int) -> float:
    unit = read_unit(sessions, unit_id)
    with sessions() as session:
        now = session.scalars(select(func.clock_timestamp())).one()
    return float((unit.run_after - now).total_seconds())


def test_what_would_fail_again_for_certain_is_given_up_at_once(clean_database):
    planned = plan_job(clean_database, 1)
    fail(clean_database, claim(clean_database, planned.unit_ids[0]), permanent=True)
    assert read_job(clean_database, planned.job_id).state == JobState.FAILED


def test_one_unit_that_is_given_up_does_not_stop_the_others(clean_database):
    planned = plan_job(clean_database, 1, 2)
    fail(clean_database, claim(clean_database, planned.unit_ids[0]), permanent=True)
    assert read_job(clean_database, planned.job_id).state == JobState.RUNNING
    record(clean_database, second := claim(clean_database, planned.unit_ids[1]), [0, 1])
    finish(clean_database, second)
    assert read_job(clean_database, planned.job_id).state == JobState.FAILED
    assert counters(clean_database, planned.unit_ids[1]) == (2, 0, 0)


def test_a_crashed_unit_goes_to_another_worker_without_a_failed_attempt(clean_database):
    unit_id = plan_job(clean_database, 1).unit_ids[0]
    crash(clean_database, unit_id)
    unit = read_unit(clean_database, unit_id)
    assert (unit.state, unit.attempt, unit.crash_count) == (UnitState.READY, 0, 1)
    assert delay(clean_database, unit_id) <= 0


@pytest.mark.parametrize(("by_itself", "times"), [(True, 2), (False, MAX_ITEM_CRASHES)])
def test_a_track_at_which_workers_die_is_left_alone_and_its_neighbours_go_on(
    clean_database, by_itself, times
):
    """Twice when they are known to have crashed there; more often when they may have been killed."""
    planned = plan_job(clean_database, 3)
    unit_id = planned.unit_ids[0]
    for _ in range(times):
        assert item_states(clean_database, unit_id) == ["pending"] * 3
        crash(clean_database, unit_id, at=1, by_itself=by_itself)
    assert item_states(clean_database, unit_id) == ["pending", "failed", "pending"]
    assert read_items(clean_database, unit_id)[1].error_code == "crashed"
    assert read_unit(clean_database, unit_id).crash_count == 0

    make_due(clean_database, unit_id)
    record(clean_database, last := claim(clean_database, unit_id), [0, 2])
    finish(clean_database, last)
    assert counters(clean_database, unit_id) == (2, 1, 0)
    assert read_job(clean_database, planned.job_id).state == JobState.SUCCEEDED


def test_a_crash_is_not_counted_against_an_item_with_an_outcome(clean_database):
    unit_id = plan_job(clean_database, 2).unit_ids[0]
    for _ in range(MAX_ITEM_CRASHES):
        make_due(clean_database, unit_id)
        claimed = claim(clean_database, unit_id)
        with transaction(clean_database) as session:
            claims.mark_current(session, claimed, 0)
        record(clean_database, claimed, [0])
        expire(clean_database, unit_id)
        reap(clean_database)
    assert item_states(clean_database, unit_id) == ["done", "pending"]


@pytest.mark.parametrize(("by_itself", "times"), [(True, MAX_CRASHES // 2), (False, MAX_CRASHES)])
def test_a_unit_that_only_ever_crashes_is_given_up(clean_database, by_itself, times):
    planned = plan_job(clean_database, 2)
    for _ in range(times):
        assert read_job(clean_database, planned.job_id).state != JobState.FAILED
        crash(clean_database, planned.unit_ids[0], by_itself=by_itself)
    job = read_job(clean_database, planned.job_id)
    assert (job.state, job.error_code) == (JobState.FAILED, "gave_up")
    assert item_states(clean_database, planned.unit_ids[0]) == ["failed", "failed"]
    assert counters(clean_database, planned.unit_ids[0]) == (0, 2, 0)


def test_a_single_result_between_two_crashes_counts_as_progress(clean_database):
    unit_id = plan_job(clean_database, 2).unit_ids[0]
    for _ in range(MAX_CRASHES - 1):
        crash(clean_database, unit_id)
    make_due(clean_database, unit_id)
    record(clean_database, claim(clean_database, unit_id), [0])
    assert read_unit(clean_database, unit_id).crash_count == 0
    expire(clean_database, unit_id)
    reap(clean_database)
    assert (read_unit(clean_database, unit_id).state, read_unit(clean_database, unit_id).crash_count) == (
        UnitState.READY,
        1,
    )


def test_a_unit_that_makes_progress_between_failures_is_never_given_up(clean_database):
    count = 2 * MAX_ATTEMPTS
    unit_id = plan_job(clean_database, count).unit_ids[0]
    for pos in range(count):
        make_due(clean_database, unit_id)
        record(clean_database, claimed := claim(clean_database, unit_id), [pos])
        fail(clean_database, claimed)
    assert read_unit(clean_database, unit_id).state == UnitState.READY
    assert item_states(clean_database, unit_id) == ["done"] * count


def test_two_reapers_share_the_work(clean_database):
    planned = plan_job(clean_database, *[1] * 30)
    for unit_id in planned.unit_ids:
        claim(clean_database, unit_id, lease_s=0.001)
    with ThreadPoolExecutor(2) as pool:
        reaped = list(pool.map(lambda _: reap(clean_database), range(2)))
    assert sum(reaped) + reap(clean_database) == 30
    for unit_id in planned.unit_ids:
        unit = read_unit(clean_database, unit_id)
        assert (unit.state, unit.crash_count, unit.attempt) == (UnitState.READY, 1, 0)


def test_a_reaper_passes_by_what_another_has_in_hand(clean_database):
    planned = plan_job(clean_database, 1, 1)
    for unit_id in planned.unit_ids:
        claim(clean_database, unit_id, lease_s=0.001)
    with transaction(clean_database) as first:
        assert reaping.reap_expired(first, limit=1) == 1
        assert reap(clean_database) == 1
    assert reap(clean_database) == 0


def test_reapers_that_end_the_same_jobs_do_not_wait_for_each_other_in_a_circle(clean_database):
    jobs = [plan_job(clean_database, 1) for _ in range(2)]
    planned = [plan_unit(clean_database, job) for _ in range(10) for job in (*jobs, *reversed(jobs))]
    with transaction(clean_database) as session:
        session.execute(update(JobUnit).values(crash_count=MAX_CRASHES - 1))
    for unit_id in [*(job.unit_ids[0] for job in jobs), *planned]:
        claim(clean_database, unit_id, lease_s=0.001)

    def reap_half(_: int) -> int:
        with transaction(clean_database) as session:
            return reaping.reap_expired(session, limit=21)

    with ThreadPoolExecutor(2) as pool:
        reaped = list(pool.map(reap_half, range(2)))
    assert sum(reaped) + reap(clean_database) == 42
    assert {read_job(clean_database, job.job_id).state for job in jobs} == {JobState.FAILED}


def plan_unit(sessions: SessionFactory, job: Planned) -> int:
    """One more unit of a job, without items."""
    with transaction(sessions) as session:
        last = session.scalar(select(func.max(JobUnit.seq)).where(JobUnit.job_id == job.job_id))
        unit = JobUnit(job_id=job.job_id, seq=(last or 0) + 1, kind="analyse", queue="batch")
        session.add(unit)
        session.flush()
        return unit.id


@pytest.mark.parametrize("state", [ItemState.DONE, ItemState.FAILED])
def test_giving_up_leaves_known_outcomes_alone(clean_database, state):
    unit_id = plan_job(clean_database, 2).unit_ids[0]
    claimed = claim(clean_database, unit_id)
    record(clean_database, claimed, [0], state)
    before = read_items(clean_database, unit_id)[0].error_code
    fail(clean_database, claimed, permanent=True)
    assert (item_states(clean_database, unit_id)[0], read_items(clean_database, unit_id)[0].error_code) == (
        state,
        before,
    )
