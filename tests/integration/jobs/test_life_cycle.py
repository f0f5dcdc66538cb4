"""Whatever happens to a job, in whatever order, its rows keep their promises.

Hypothesis plays workers, zombies, crashes, dispatchers and users against the real statements, and a small
model says what each must have done.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import ClassVar, TypeVar
from uuid import UUID

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from core.errors import JobAlreadyEnded, LeaseLost
from core.jobs import claims, endings, reaping
from core.jobs.claims import SELF_CRASH_PENALTY, Claim
from core.jobs.dispatch import requeue_lost, take_ready
from core.jobs.endings import MAX_ATTEMPTS, finish_complete_jobs
from core.jobs.items import Outcome, record_outcomes
from core.jobs.jobs import cancel_job
from core.jobs.progress import get_progress
from core.jobs.reaping import MAX_CRASHES, MAX_ITEM_CRASHES
from core.services.analysis import ANALYSE
from core.services.planning import PlannedItem, PlannedUnit, add_page
from core.states import TERMINAL_JOB_STATES, TERMINAL_UNIT_STATES, ItemState, JobState, UnitState
from core.store.session import SessionFactory, transaction
from core.store.tables import Job, JobItem, JobUnit, Library, Track
from tests.support.planned import expire, make_due, reap, try_claim

PENDING, DONE, SKIPPED, FAILED = ItemState
T = TypeVar("T")
WAITING = (UnitState.READY, UnitState.DISPATCHED)
OUTCOMES = st.sampled_from((DONE, SKIPPED, FAILED))
ANY = st.integers(0, 1000)  # see `pick`
SETTINGS = settings(
    max_examples=18,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # shrinking what was found takes minutes: add Phase.shrink to look into it
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)


@dataclass
class ModelJob:
    id: UUID
    state: JobState = JobState.QUEUED
    total: int = 0


@dataclass
class ModelUnit:
    id: int
    job: ModelJob
    items: list[ItemState] = field(default_factory=list)
    state: UnitState = UnitState.READY
    attempt: int = 0
    crashes: int = 0
    item_crashes: Counter[int] = field(default_factory=Counter)
    current: int | None = None
    claim: Claim | None = None
    expired: bool = False
    pages: int = 0  # of a plan: how many have been added

    @property
    def is_plan(self) -> bool:
        return not self.items

    def is_held_by(self, claim: Claim) -> bool:
        return self.state is UnitState.RUNNING and self.claim is claim and not self.expired


class LifeCycle(RuleBasedStateMachine):
    sessions: ClassVar[SessionFactory]

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[ModelJob] = []
        self.units: dict[int, ModelUnit] = {}
        self.claims: list[Claim] = []
        self.names = count()
        with transaction(self.sessions) as session:
            session.execute(text("DELETE FROM jobs; DELETE FROM libraries"))
            library = Library(name="music", path="/music")
            session.add(library)
            session.flush()
            self.library_id = library.id

    @initialize(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=3))
    def begin(self, sizes: list[int]) -> None:
        """With work at hand: Hypothesis leaves some rules out of every run, and may leave out these."""
        self.submit()
        self.claim(0)
        self.plan(0, sizes, repeated=False)
        for _ in sizes:
            self.claim(1)

    # What users do

    @precondition(lambda self: len(self.jobs) < 3)
    @rule()
    def submit(self) -> None:
        with transaction(self.sessions) as session:
            job = Job(kind="analysis", owner="tests", params={}, library_id=self.library_id)
            session.add(job)
            session.flush()
            unit = JobUnit(job_id=job.id, seq=0, kind="plan", queue="batch")
            session.add(unit)
        self.jobs.append(ModelJob(job.id))
        self.units[unit.id] = ModelUnit(unit.id, self.jobs[-1])

    @precondition(lambda self: self.jobs)
    @rule(which=ANY)
    def cancel(self, which: int) -> None:
        job = self.jobs[which % len(self.jobs)]
        try:
            with transaction(self.sessions) as session:
                cancel_job(session, job.id)
        except JobAlreadyEnded:
            assert job.state in (JobState.SUCCEEDED, JobState.FAILED)
            return
        if job.state in (JobState.QUEUED, JobState.RUNNING):
            job.state = JobState.CANCELLING
        assert job.state in (JobState.CANCELLING, JobState.CANCELLED)

    # What the dispatcher does

    @rule(window=st.integers(1, 4))
    def dispatch(self, window: int) -> None:
        with transaction(self.sessions) as session:
            published = [bell.unit_id for bell in take_ready(session, "batch", window)]
        for unit_id in published:
            assert self.units[unit_id].state is UnitState.READY
            assert self.units[unit_id].job.state in (JobState.QUEUED, JobState.RUNNING)
            self.units[unit_id].state = UnitState.DISPATCHED
        again = sum(self.units[unit_id].crashes > 0 for unit_id in published)
        dispatched = self._count(UnitState.DISPATCHED)
        assert dispatched <= max(window, dispatched - len(published)) + again

    @rule()
    def lose_all_messages(self) -> None:
        with transaction(self.sessions) as session:
            assert requeue_lost(session, older_than_s=0) == self._count(UnitState.DISPATCHED)
        for unit in self.units.values():
            if unit.state is UnitState.DISPATCHED:
                unit.state = UnitState.READY

    @rule()
    def settle(self) -> None:
        with transaction(self.sessions) as session:
            reaping.cancel_waiting(session)
        with transaction(self.sessions) as session:
            finish_complete_jobs(session)
        for unit in self.units.values():
            if unit.job.state is JobState.CANCELLING and unit.state in WAITING:
                self._end(unit, UnitState.CANCELLED)

    @rule()
    def reap(self) -> None:
        expired = [unit for unit in self.units.values() if unit.expired]
        assert reap(self.sessions) == len(expired)
        for unit in expired:
            self._crash(unit)

    # What workers do, among them some that should have stopped long ago

    @precondition(lambda self: self.units)
    @rule(which=ANY)
    def claim(self, which: int) -> None:
        unit = self._unit(which)
        if unit.state is UnitState.READY:
            make_due(self.sessions, unit.id)
        claim = try_claim(self.sessions, unit.id)
        free = unit.state in WAITING and unit.job.state in (JobState.QUEUED, JobState.RUNNING)
        assert (claim is not None) is free
        if claim is not None:
            self.claims.append(claim)
            unit.state, unit.claim, unit.current = UnitState.RUNNING, claim, None
            unit.attempt += 1
            unit.job.state = JobState.RUNNING

    @precondition(lambda self: self.claims)
    @rule(which=ANY)
    def renew(self, which: int) -> None:
        unit, claim = self._claim(which)
        self._write(unit, claim, lambda session: claims.renew_lease(session, claim))

    @precondition(lambda self: self.claims)
    @rule(which=ANY, sizes=st.lists(st.integers(1, 4), min_size=1, max_size=3), repeated=st.booleans())
    def plan(self, which: int, sizes: list[int], repeated: bool) -> None:
        unit, claim = self._claim(which)
        if not unit.is_plan:
            return
        page = max(0, unit.pages - 1) if repeated else unit.pages
        written = self._write(unit, claim, lambda session: self._add_page(session, claim, sizes, page))
        if written and page == unit.pages:
            unit.attempt, unit.crashes = 1, 0
            unit.pages += 1
            unit.job.total += sum(sizes)
            self._meet_new_units(unit.job, sizes)

    @precondition(lambda self: self.claims)
    @rule(which=ANY, at=ANY)
    def come_to(self, which: int, at: int) -> None:
        unit, claim = self._claim(which)
        with transaction(self.sessions) as session:
            claims.mark_current(session, claim, at % 5)
        if unit.is_held_by(claim):
            unit.current = at % 5

    @precondition(lambda self: self.claims)
    @rule(
        which=ANY, at=st.sets(st.integers(0, 3), min_size=1), state=st.sampled_from((DONE, SKIPPED, FAILED))
    )
    def record(self, which: int, at: set[int], state: ItemState) -> None:
        unit, claim = self._claim(which)
        if not unit.is_plan:
            self._record(unit, claim, [pos for pos in at if pos < len(unit.items)], state)

    @precondition(lambda self: self.claims)
    @rule(which=ANY)
    def finish(self, which: int) -> None:
        unit, claim = self._claim(which)
        still_open = [pos for pos, state in enumerate(unit.items) if state is PENDING]
        self._record(unit, claim, still_open, DONE)
        if self._write(unit, claim, lambda session: endings.finish_unit(session, claim)):
            self._end(unit, UnitState.DONE)

    @precondition(lambda self: self.claims)
    @rule(which=ANY, permanent=st.booleans())
    def fail(self, which: int, permanent: bool) -> None:
        unit, claim = self._claim(which)
        if self._write(unit, claim, lambda session: give_up(session, claim, permanent)):
            if permanent or unit.attempt >= MAX_ATTEMPTS:
                self._give_up(unit)
            else:
                self._make_ready(unit)

    @precondition(lambda self: self.claims)
    @rule(which=ANY)
    def release(self, which: int) -> None:
        unit, claim = self._claim(which)
        if self._write(unit, claim, lambda session: endings.release_unit(session, claim)):
            unit.attempt -= 1
            self._make_ready(unit)

    @precondition(lambda self: self.claims)
    @rule(which=ANY)
    def stop_for_cancel(self, which: int) -> None:
        unit, claim = self._claim(which)
        if unit.job.state is JobState.CANCELLING and self._write(
            unit, claim, lambda session: endings.cancel_unit(session, claim)
        ):
            self._end(unit, UnitState.CANCELLED)

    @precondition(lambda self: self.claims)
    @rule(which=ANY)
    def die(self, which: int) -> None:
        unit, _ = self._claim(which)
        if unit.state is UnitState.RUNNING:
            expire(self.sessions, unit.id)
            unit.expired = True

    @precondition(lambda self: self.claims)
    @rule(which=ANY)
    def crash(self, which: int) -> None:
        """A worker dies of its own code, and its parent tells so; perhaps late."""
        unit, _ = self._claim(which)
        with transaction(self.sessions) as session:
            claims.expire_lease(session, f"task of {unit.id}", crashed=True)
        if unit.state is UnitState.RUNNING:
            unit.expired = True
            unit.crashes += SELF_CRASH_PENALTY
            if unit.current is not None:
                unit.item_crashes[unit.current] += SELF_CRASH_PENALTY

    # What must hold at any time

    @invariant()
    def the_rows_say_what_the_model_says(self) -> None:
        with self.sessions() as session:
            rows = {unit.id: unit for unit in session.scalars(select(JobUnit))}
            jobs = {job.id: job for job in session.scalars(select(Job))}
            progress = get_progress(session, list(jobs.values()))
            items = session.execute(
                select(JobItem.unit_id, JobItem.state, func.count()).group_by(JobItem.unit_id, JobItem.state)
            ).all()
        counted = {(unit_id, state): number for unit_id, state, number in items}
        for unit in self.units.values():
            row = rows[unit.id]
            assert (row.state, row.attempt, row.crash_count) == (unit.state, unit.attempt, unit.crashes)
            assert row.claim_id == (unit.claim.claim_id if unit.claim else None)
            assert (row.claim_id is not None) is (row.state == UnitState.RUNNING)
            assert 0 <= row.attempt <= MAX_ATTEMPTS
            known = [(row.done, DONE), (row.failed, FAILED), (row.skipped, SKIPPED)]
            assert all(counter == counted.get((unit.id, state), 0) for counter, state in known)
            assert Counter(unit.items) == {
                state: number for (unit_id, state), number in counted.items() if unit_id == unit.id
            }
        for job in self.jobs:
            assert (jobs[job.id].state, jobs[job.id].total) == (job.state, job.total)
            assert (jobs[job.id].finished_at is not None) is (job.state in TERMINAL_JOB_STATES)
            of_job = [unit for unit in self.units.values() if unit.job is job]
            outcomes = Counter(state for unit in of_job for state in unit.items)
            shown = progress[job.id]
            assert (shown.done, shown.failed, shown.skipped) == tuple(
                outcomes[state] for state in (DONE, FAILED, SKIPPED)
            )
            assert (shown.percent is None) is any(
                unit.is_plan and unit.state not in TERMINAL_UNIT_STATES for unit in of_job
            )
        assert len(rows) == len(self.units)

    # The model

    def _unit(self, which: int) -> ModelUnit:
        known = list(self.units.values())
        waiting = [unit for unit in known if unit.state in WAITING]
        return pick(which, waiting, known)

    def _claim(self, which: int) -> tuple[ModelUnit, Claim]:
        live = [claim for claim in self.claims if self.units[claim.unit_id].is_held_by(claim)]
        claim = pick(which, live, self.claims)
        return self.units[claim.unit_id], claim

    def _count(self, state: UnitState) -> int:
        return sum(unit.state is state for unit in self.units.values())

    def _write(self, unit: ModelUnit, claim: Claim, statement: Callable[[Session], None]) -> bool:
        """Whether a write went through, which it must do for the holder of the lease and for nobody else."""
        try:
            with transaction(self.sessions) as session:
                statement(session)
        except LeaseLost:
            assert not unit.is_held_by(claim)
            return False
        assert unit.is_held_by(claim)
        return True

    def _record(self, unit: ModelUnit, claim: Claim, positions: list[int], state: ItemState) -> None:
        outcomes = [Outcome(pos, state) for pos in positions]
        if outcomes and self._write(unit, claim, lambda session: record_outcomes(session, claim, outcomes)):
            unit.attempt, unit.crashes = 1, 0
            for pos in positions:
                unit.items[pos] = state

    def _add_page(self, session: Session, claim: Claim, sizes: list[int], page: int) -> None:
        def item() -> PlannedItem:
            track = Track(library_id=self.library_id, path=str(next(self.names)), size=1, mtime_ns=1)
            session.add(track)
            session.flush()
            return PlannedItem(track.id)

        planned = [PlannedUnit(ANALYSE, [item() for _ in range(size)]) for size in sizes]
        cursors = [{"after": str(number)} if number else {} for number in (page, page + 1)]
        add_page(session, claim, planned, cursor=cursors[0], next_cursor=cursors[1])

    def _meet_new_units(self, job: ModelJob, sizes: list[int]) -> None:
        with self.sessions() as session:
            query = select(JobUnit.id).where(JobUnit.job_id == job.id).order_by(JobUnit.seq.desc())
            newest = list(session.scalars(query.limit(len(sizes))))[::-1]
        for unit_id, size in zip(newest, sizes, strict=True):
            assert unit_id not in self.units
            self.units[unit_id] = ModelUnit(unit_id, job, [PENDING] * size)

    def _make_ready(self, unit: ModelUnit) -> None:
        unit.state, unit.claim, unit.current, unit.expired = UnitState.READY, None, None, False

    def _crash(self, unit: ModelUnit) -> None:
        unit.crashes += 1
        unit.attempt -= 1
        at = unit.current
        if at is not None and at < len(unit.items) and unit.items[at] is PENDING:
            unit.item_crashes[at] += 1
            if unit.item_crashes[at] >= MAX_ITEM_CRASHES:
                unit.items[at] = FAILED
                unit.crashes = 0
        if unit.crashes >= MAX_CRASHES:
            unit.attempt += 1
            unit.crashes -= 1
            self._give_up(unit)
        else:
            self._make_ready(unit)

    def _give_up(self, unit: ModelUnit) -> None:
        unit.items = [FAILED if state is PENDING else state for state in unit.items]
        self._end(unit, UnitState.FAILED)

    def _end(self, unit: ModelUnit, state: UnitState) -> None:
        assert unit.state not in TERMINAL_UNIT_STATES
        unit.state, unit.claim, unit.expired = state, None, False
        states = {other.state for other in self.units.values() if other.job is unit.job}
        if states <= TERMINAL_UNIT_STATES:
            ended = JobState.FAILED if UnitState.FAILED in states else JobState.SUCCEEDED
            unit.job.state = JobState.CANCELLED if unit.job.state is JobState.CANCELLING else ended


def pick(which: int, promising: list[T], known: list[T]) -> T:
    """One of those there are; three times out of four one that can still do something."""
    candidates = promising if promising and which % 4 else known
    return candidates[which // 4 % len(candidates)]


def give_up(session: Session, claim: Claim, permanent: bool) -> None:
    endings.fail_unit(session, claim, "internal", "Something.", permanent=permanent)


def test_the_rows_of_jobs_keep_their_promises_whatever_happens(clean_database, pytestconfig):
    """The same lives in every run; `--random-lives N` makes up N others."""
    LifeCycle.sessions = clean_database
    lives = pytestconfig.getoption("--random-lives")
    random_lives = settings(SETTINGS, max_examples=lives or 1, derandomize=False)
    run_state_machine_as_test(LifeCycle, settings=random_lives if lives else SETTINGS)
