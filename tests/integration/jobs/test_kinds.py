"""A kind of job that the system does not have: the queue does what its declaration says."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel
from sqlalchemy import select, true
from sqlalchemy.orm import Session

from core.errors import NothingToRetry
from core.jobs import kinds
from core.jobs.claims import Claim
from core.jobs.dispatch import take_ready
from core.jobs.endings import fail_unit, finish_complete_jobs, finish_unit
from core.jobs.jobs import cancel_job
from core.jobs.kinds import JobSpec, NewJob, Progress, SubmissionContext, UnitSpec, register
from core.jobs.progress import get_progress
from core.jobs.reaping import cancel_waiting
from core.jobs.submission import retry_job, submit_job
from core.states import JobState, UnitState
from core.store.session import SessionFactory, transaction
from core.store.tables import Job, JobUnit
from tests.support.planned import claim, read_job, read_unit

ME = SubmissionContext("me")


class EchoParams(BaseModel):
    text: str


def prepare(_session: Session, params: EchoParams, _context: SubmissionContext) -> NewJob:
    return NewJob("echo", params.model_dump(), total=1, payload={"at": 0})


def retry(_session: Session, old: Job) -> NewJob:
    if old.state == JobState.SUCCEEDED:
        raise NothingToRetry
    return NewJob("echo", old.params, total=1, retry_of=old.id)


SAY = UnitSpec("say", "loud", "nowhere:say", is_one_item=True)
ECHO = JobSpec(name="echo", params=EchoParams, first_unit=SAY, prepare=prepare, retry=retry)


@pytest.fixture(autouse=True)
def _only_for_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_specs", dict(kinds._specs))
    register((ECHO,))


def submit(sessions: SessionFactory, spec: JobSpec = ECHO) -> tuple[UUID, Claim]:
    register((spec,))
    with transaction(sessions) as session:
        job_id = submit_job(session, EchoParams(text="hello"), ME).job.id
        unit = session.scalars(select(JobUnit).where(JobUnit.job_id == job_id)).one()
        assert (unit.kind, unit.queue, unit.payload) == (spec.first_unit.name, "loud", {"at": 0})
    return job_id, claim(sessions, unit.id)


def fail(sessions: SessionFactory, claimed: Claim) -> None:
    with transaction(sessions) as session:
        fail_unit(session, claimed, "internal", "Something.", permanent=True)


def test_it_is_submitted_given_up_and_retried(clean_database):
    job_id, claimed = submit(clean_database)
    fail(clean_database, claimed)
    assert read_job(clean_database, job_id).state == JobState.FAILED
    assert read_unit(clean_database, claimed.unit_id).failed == 1  # the unit is the item
    with transaction(clean_database) as session:
        again = retry_job(session, job_id, ME).job
        assert (again.kind, again.params, again.retry_of) == ("echo", {"text": "hello"}, job_id)


def test_a_unit_that_is_given_up_may_leave_its_job_alone(clean_database):
    seen: list[tuple[Any, ...]] = []
    lenient = replace(SAY, on_give_up=lambda _, *error: seen.append(error))
    job_id, claimed = submit(clean_database, replace(ECHO, first_unit=lenient))
    fail(clean_database, claimed)
    assert seen == [(claimed.unit_id, "internal", "Something.")]
    assert read_unit(clean_database, claimed.unit_id).state == UnitState.DONE
    assert read_job(clean_database, job_id).state == JobState.SUCCEEDED


def test_it_says_whether_it_has_failed_and_what_follows_its_end(clean_database):
    ended: list[UUID] = []

    def note(_session: Session, job_ids: Collection[UUID]) -> None:
        ended.extend(job_ids)

    job_id, claimed = submit(clean_database, replace(ECHO, has_failed=true, on_end=note))
    with transaction(clean_database) as session:
        finish_unit(session, claimed)
    assert read_job(clean_database, job_id).state == JobState.FAILED
    assert ended == [job_id]


def test_it_adds_to_the_progress_and_may_leave_the_total_open(clean_database):
    def describe(
        _session: Session, jobs: Sequence[Job], progress: Mapping[UUID, Progress]
    ) -> dict[UUID, dict[str, Any]]:
        return {job.id: {"words": progress[job.id].total} for job in jobs}

    growing = replace(SAY, adds_units=True)
    job_id, _ = submit(clean_database, replace(ECHO, first_unit=growing, describe_progress=describe))
    with clean_database() as session:
        progress = get_progress(session, [session.get_one(Job, job_id)])[job_id]
    assert (progress.percent, progress.details) == (None, {"words": 1})


LOOK = UnitSpec("look", "quiet", "nowhere:look", is_counted=False)
CAREFUL = replace(ECHO, first_unit=replace(SAY, after=("look",)), opening_units=(LOOK,))


@pytest.fixture
def careful(clean_database: SessionFactory) -> dict[str, JobUnit]:
    """The units of a job whose first unit waits for another one, by kind."""
    register((CAREFUL,))
    with transaction(clean_database) as session:
        job = submit_job(session, EchoParams(text="hello"), ME).job
        units = session.scalars(select(JobUnit).where(JobUnit.job_id == job.id)).all()
        return {unit.kind: unit for unit in units}


def published(sessions: SessionFactory) -> list[str]:
    with transaction(sessions) as session:
        return [message.kind for queue in ("loud", "quiet") for message in take_ready(session, queue, 8)]


def test_a_unit_is_published_when_those_that_it_waits_for_have_ended(clean_database, careful):
    assert published(clean_database) == ["look"]
    claimed = claim(clean_database, careful["look"].id)
    assert published(clean_database) == []
    with transaction(clean_database) as session:
        finish_unit(session, claimed)
    assert published(clean_database) == ["say"]
    job = read_job(clean_database, careful["say"].job_id)
    assert job.state == JobState.RUNNING
    with clean_database() as session:
        assert get_progress(session, [job])[job.id].done == 0


def test_a_unit_that_waits_for_one_that_fails_is_cancelled_and_the_job_has_failed(clean_database, careful):
    fail(clean_database, claim(clean_database, careful["look"].id))
    assert read_unit(clean_database, careful["say"].id).state == UnitState.CANCELLED
    job = read_job(clean_database, careful["say"].job_id)
    assert (job.state, job.error_code) == (JobState.FAILED, "internal")


def test_a_unit_that_waits_is_cancelled_with_its_job(clean_database, careful):
    with transaction(clean_database) as session:
        cancel_job(session, careful["say"].job_id)
        cancel_waiting(session)
        finish_complete_jobs(session)
    assert published(clean_database) == []
    assert read_job(clean_database, careful["say"].job_id).state == JobState.CANCELLED
