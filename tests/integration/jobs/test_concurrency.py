"""Eight threads do to the same jobs whatever workers, zombies, dispatchers and users do, all at once."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from threading import Lock
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, text, update

from core.errors import JobAlreadyEnded, LeaseLost
from core.jobs import claims, endings, reaping
from core.jobs.claims import Claim
from core.jobs.dispatch import requeue_lost, take_ready
from core.jobs.endings import finish_complete_jobs
from core.jobs.items import Outcome, load_work, record_outcomes
from core.jobs.jobs import cancel_job
from core.jobs.progress import get_progress
from core.states import TERMINAL_JOB_STATES, TERMINAL_UNIT_STATES, ItemState, JobState, UnitState
from core.store.session import SessionFactory, transaction
from core.store.tables import Job, JobItem, JobUnit
from tests.support.planned import Planned, plan_job

THREADS = 8
STEPS = 60  # of each thread
SIZES = (5, 4, 3, 2, 1, 4)
SEEDS = range(3)

LOG = """
CREATE TABLE unit_log (id bigserial, unit_id bigint, old text, new text, claim_id uuid);
CREATE FUNCTION log_unit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO unit_log (unit_id, old, new, claim_id)
    VALUES (NEW.id, OLD.state, NEW.state, coalesce(NEW.claim_id, OLD.claim_id));
    RETURN NULL;
END $$;
CREATE TRIGGER log_unit AFTER UPDATE OF state ON job_units FOR EACH ROW
    WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION log_unit();
"""
UNLOG = "DROP TRIGGER log_unit ON job_units; DROP FUNCTION log_unit; DROP TABLE unit_log"


@pytest.fixture
def logged(clean_database: SessionFactory) -> Iterator[SessionFactory]:
    """A database that remembers every state that a unit was in."""
    with transaction(clean_database) as session:
        session.execute(text(LOG))
    yield clean_database
    with transaction(clean_database) as session:
        session.execute(text(UNLOG))


class Crowd:
    """What the threads share: the claims that anybody ever got."""

    def __init__(self, sessions: SessionFactory, jobs: list[Planned]) -> None:
        self.sessions = sessions
        self.jobs = jobs
        self.unit_ids = [unit_id for job in jobs for unit_id in job.unit_ids]
        self.claims: list[Claim] = []
        self.recorded: defaultdict[tuple[int, int], set[UUID]] = defaultdict(set)  # by whom, per item
        self.lock = Lock()

    def claim(self, dice: random.Random) -> None:
        with transaction(self.sessions) as session:
            claimed = claims.claim_unit(session, dice.choice(self.unit_ids), str(uuid4()), 90)
        if claimed is not None:
            with self.lock:
                self.claims.append(claimed)

    def any_claim(self, dice: random.Random) -> Claim | None:
        """One of the last ones, which may have been lost long ago."""
        with self.lock:
            return dice.choice(self.claims[-12:]) if self.claims else None

    def renew(self, dice: random.Random) -> None:
        if claim := self.any_claim(dice):
            with transaction(self.sessions) as session:
                claims.renew_lease(session, claim)

    def record(self, dice: random.Random) -> None:
        """Give the open items of a unit an outcome, as far as this claim may."""
        if not (claim := self.any_claim(dice)):
            return
        with self.sessions() as session:
            positions = [item.pos for item in load_work(session, claim)][: dice.randint(1, 3)]
        state = dice.choice((ItemState.DONE, ItemState.FAILED, ItemState.SKIPPED))
        if positions:
            with transaction(self.sessions) as session:
                record_outcomes(session, claim, [Outcome(pos, state) for pos in positions])
            with self.lock:
                for pos in positions:
                    self.recorded[claim.unit_id, pos].add(claim.claim_id)

    def finish(self, dice: random.Random) -> None:
        if claim := self.any_claim(dice):
            with transaction(self.sessions) as session:
                claims.hold_lease(session, claim)
                if not load_work(session, claim):
                    endings.finish_unit(session, claim)

    def fail(self, dice: random.Random) -> None:
        if claim := self.any_claim(dice):
            with transaction(self.sessions) as session:
                endings.fail_unit(session, claim, "internal", "Something.")

    def release(self, dice: random.Random) -> None:
        if claim := self.any_claim(dice):
            with transaction(self.sessions) as session:
                endings.release_unit(session, claim)

    def come_to(self, dice: random.Random) -> None:
        if claim := self.any_claim(dice):
            with transaction(self.sessions) as session:
                claims.mark_current(session, claim, dice.randint(0, 4))

    def expire(self, dice: random.Random) -> None:
        if claim := self.any_claim(dice):
            with transaction(self.sessions) as session:
                session.execute(
                    update(JobUnit)
                    .where(JobUnit.id == claim.unit_id, JobUnit.state == UnitState.RUNNING)
                    .values(lease_until=func.clock_timestamp())
                )

    def tick(self, dice: random.Random) -> None:
        """What a dispatcher does in a round, with all back-offs over."""
        with transaction(self.sessions) as session:
            reaping.cancel_waiting(session)
            reaping.reap_expired(session)
        with transaction(self.sessions) as session:
            finish_complete_jobs(session)
        with transaction(self.sessions) as session:
            requeue_lost(session, older_than_s=0)
        with transaction(self.sessions) as session:
            take_ready(session, "batch", dice.randint(1, 8))

    def cancel(self, dice: random.Random) -> None:
        if dice.random() < 0.02:
            with transaction(self.sessions) as session:
                cancel_job(session, dice.choice(self.jobs).job_id)

    def act(self, seed: int) -> None:
        dice = random.Random(seed)
        actions: list[Callable[[random.Random], None]] = [
            self.claim,
            self.claim,
            self.record,
            self.record,
            self.record,
            self.finish,
            self.finish,
            self.renew,
            self.come_to,
            self.expire,
            self.tick,
            self.release,
            self.fail,
            self.cancel,
        ]
        for _ in range(STEPS):
            with suppress(LeaseLost, JobAlreadyEnded):
                dice.choice(actions)(dice)


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_eight_threads_do_at_once_every_promise_holds(logged, seed):
    crowd = Crowd(logged, [plan_job(logged, *SIZES) for _ in range(2)])
    with ThreadPoolExecutor(THREADS) as pool:
        for acting in [pool.submit(crowd.act, THREADS * seed + number) for number in range(THREADS)]:
            acting.result(timeout=60)
    assert len(crowd.claims) > THREADS
    assert {len(claims) for claims in crowd.recorded.values()} == {1}
    with logged() as session:
        assert_one_holder_at_a_time(session.execute(text("SELECT * FROM unit_log ORDER BY id")).all())
        jobs = {job.id: job for job in session.scalars(select(Job))}
        rows = session.scalars(select(JobUnit)).all()
        items = session.scalars(select(JobItem)).all()
        progress = get_progress(session, list(jobs.values()))
    for unit in rows:
        own = Counter(item.state for item in items if item.unit_id == unit.id)
        assert (unit.done, unit.failed, unit.skipped) == (
            own[ItemState.DONE],
            own[ItemState.FAILED],
            own[ItemState.SKIPPED],
        )
        assert 0 <= unit.attempt <= endings.MAX_ATTEMPTS
        assert unit.crash_count < reaping.MAX_CRASHES
        assert (unit.claim_id is not None) is (unit.state == UnitState.RUNNING)
        if unit.state in (UnitState.DONE, UnitState.FAILED):
            assert not own[ItemState.PENDING]
    for job_id, job in jobs.items():
        states = {unit.state for unit in rows if unit.job_id == job_id}
        outcomes = Counter(item.state for item in items if item.job_id == job_id)
        assert progress[job_id].done == outcomes[ItemState.DONE]
        assert progress[job_id].failed == outcomes[ItemState.FAILED]
        if job.state in TERMINAL_JOB_STATES:
            assert states <= TERMINAL_UNIT_STATES
        if job.state == JobState.SUCCEEDED:
            assert states == {UnitState.DONE}


def assert_one_holder_at_a_time(log: Sequence[Any]) -> None:
    """Every claim of a unit ends before the next one begins, and nothing follows an end."""
    by_unit = defaultdict(list)
    for row in log:
        by_unit[row.unit_id].append(row)
    for rows in by_unit.values():
        assert all(before.new == after.old for before, after in pairwise(rows))
        assert all(row.old not in TERMINAL_UNIT_STATES for row in rows)
        claimed = [row.claim_id for row in rows if row.new == UnitState.RUNNING]
        assert len(set(claimed)) == len(claimed)
        for row in rows:
            if row.old == UnitState.RUNNING:
                assert row.claim_id == claimed.pop(0)
