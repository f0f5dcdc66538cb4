"""Jobs: submitted once, ended once, cancelled at any moment, retried where they failed."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, text

from core.config.params import AnalysisParams, PredictParams
from core.errors import (
    IdempotencyKeyReused,
    JobAlreadyEnded,
    JobNotFinished,
    JobNotFound,
    LibraryFolderMissing,
    LibraryNotFound,
    ModelNotFound,
    NothingToRetry,
)
from core.jobs import endings, reaping
from core.jobs.claims import Claim, hold_lease, is_cancelling
from core.jobs.dispatch import ready_queues
from core.jobs.endings import finish_complete_jobs
from core.jobs.jobs import cancel_job, get_job, has_open_jobs, list_jobs
from core.jobs.kinds import SubmissionContext
from core.jobs.progress import get_progress
from core.jobs.submission import retry_job, submit_job
from core.services.prediction import submit_prediction
from core.states import ItemState, JobState, UnitState
from core.store.session import SessionFactory, transaction
from core.store.tables import Job, JobItem, JobUnit
from tests.support.builders import make_library, make_model
from tests.support.planned import claim, finish, item_states, plan_job, read_job, read_unit, record

PARAMS = AnalysisParams(library="music")


@pytest.fixture
def music(clean_database: SessionFactory, tmp_path: Path) -> SessionFactory:
    """A database with a library and a default model."""
    with transaction(clean_database) as session:
        make_library(session, name="music", path=str(tmp_path))
        make_model(session)
    return clean_database


def submit(sessions: SessionFactory, key: str | None = None, params: AnalysisParams = PARAMS) -> UUID:
    with transaction(sessions) as session:
        return submit_job(session, params, SubmissionContext("me", key)).job.id


def count(sessions: SessionFactory, table: type[Job] | type[JobUnit]) -> int:
    with sessions() as session:
        return session.scalars(select(func.count()).select_from(table)).one()


def cancel(sessions: SessionFactory, job_id: UUID) -> str:
    with transaction(sessions) as session:
        return cancel_job(session, job_id).state


def settle(sessions: SessionFactory) -> None:
    """What the dispatcher does in a round with units that nobody works on."""
    with transaction(sessions) as session:
        reaping.cancel_waiting(session)
    with transaction(sessions) as session:
        finish_complete_jobs(session)


def test_a_submitted_job_has_one_unit_that_plans_it(music):
    job_id = submit(music)
    job = read_job(music, job_id)
    assert (job.state, job.total, job.params["coverage"]) == (JobState.QUEUED, 0, "full")
    with music() as session:
        unit = session.scalars(select(JobUnit)).one()
    assert (unit.job_id, unit.kind, unit.queue, unit.state) == (job_id, "plan", "plan", UnitState.READY)


def test_twenty_submissions_with_one_key_make_one_job(music):
    start = Barrier(20)

    def submit_together(_: int) -> UUID:
        start.wait(timeout=10)
        return submit(music, "once")

    with ThreadPoolExecutor(20) as pool:
        answers = set(pool.map(submit_together, range(20), timeout=60))
    assert len(answers) == 1
    assert (count(music, Job), count(music, JobUnit)) == (1, 1)


def test_a_key_is_for_one_request_of_one_owner(music):
    first = submit(music, "mine")
    with transaction(music) as session:
        again = submit_job(session, PARAMS, SubmissionContext("me", "mine"))
    assert (again.job.id, again.replayed) == (first, True)
    with pytest.raises(IdempotencyKeyReused):
        submit(music, "mine", AnalysisParams(library="music", force=True))
    with transaction(music) as session:
        assert submit_job(session, PARAMS, SubmissionContext("you", "mine")).job.id != first
    assert submit(music) != submit(music)


@pytest.mark.parametrize(
    ("params", "error"),
    [
        (AnalysisParams(library="films"), LibraryNotFound),
        (AnalysisParams(library="music", path="no/such/folder"), LibraryFolderMissing),
        (AnalysisParams(library="music", model="gpt"), ModelNotFound),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_queued(music, params, error):
    with pytest.raises(error):
        submit(music, params=params)
    assert count(music, Job) == 0


def test_an_upload_is_a_job_of_one_unit_for_the_interactive_queue(music):
    job_id = uuid4()
    with transaction(music) as session:
        submit_prediction(session, job_id, PredictParams(filename="a.mp3"), SubmissionContext("me"))
    with music() as session:
        unit = session.scalars(select(JobUnit)).one()
    assert (unit.job_id, unit.kind, unit.queue) == (job_id, "predict", "interactive")
    assert read_job(music, job_id).total == 1


def test_a_job_succeeds_when_its_last_unit_is_done(clean_database):
    planned = plan_job(clean_database, 1, 1)
    for unit_id in planned.unit_ids:
        assert read_job(clean_database, planned.job_id).state != JobState.SUCCEEDED
        finish(clean_database, claim(clean_database, unit_id))
    job = read_job(clean_database, planned.job_id)
    assert job.state == JobState.SUCCEEDED
    assert job.finished_at is not None


@pytest.mark.parametrize("attempt", range(5))
def test_two_last_units_that_end_at_the_same_moment_end_the_job_once(clean_database, attempt):
    planned = plan_job(clean_database, 1, 1)
    claims = [claim(clean_database, unit_id) for unit_id in planned.unit_ids]
    start = Barrier(2)

    def end(index: int) -> None:
        with transaction(clean_database) as session:
            hold_lease(session, claims[index])
            start.wait(timeout=10)
            endings.finish_unit(session, claims[index])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(end, range(2), timeout=30))
    ended = read_job(clean_database, planned.job_id)
    assert ended.state == JobState.SUCCEEDED
    settle(clean_database)
    assert read_job(clean_database, planned.job_id).finished_at == ended.finished_at


def test_a_cancelled_job_without_a_worker_ends_with_the_next_round(clean_database):
    planned = plan_job(clean_database, 1, 1)
    assert cancel(clean_database, planned.job_id) == JobState.CANCELLING
    settle(clean_database)
    assert read_job(clean_database, planned.job_id).state == JobState.CANCELLED
    assert {read_unit(clean_database, unit_id).state for unit_id in planned.unit_ids} == {"cancelled"}


def test_cancelling_lets_a_running_unit_stop_by_itself_and_keeps_its_results(clean_database):
    planned = plan_job(clean_database, 2, 1)
    claimed = claim(clean_database, planned.unit_ids[0])
    record(clean_database, claimed, [0])
    cancel(clean_database, planned.job_id)
    settle(clean_database)
    assert [read_unit(clean_database, unit_id).state for unit_id in planned.unit_ids] == [
        UnitState.RUNNING,
        UnitState.CANCELLED,
    ]
    assert read_job(clean_database, planned.job_id).state == JobState.CANCELLING
    with transaction(clean_database) as session:
        assert is_cancelling(session, claimed)
        endings.cancel_unit(session, claimed)
    assert read_job(clean_database, planned.job_id).state == JobState.CANCELLED
    assert item_states(clean_database, planned.unit_ids[0]) == ["done", "pending"]


def finish_it(sessions: SessionFactory, claimed: Claim) -> None:
    finish(sessions, claimed)


def fail_it(sessions: SessionFactory, claimed: Claim) -> None:
    with transaction(sessions) as session:
        endings.fail_unit(session, claimed, "internal", "Something.", permanent=True)


def release_it(sessions: SessionFactory, claimed: Claim) -> None:
    with transaction(sessions) as session:
        endings.release_unit(session, claimed)
    settle(sessions)


@pytest.mark.parametrize("end", [finish_it, fail_it, release_it])
def test_a_cancelling_job_is_cancelled_by_every_ending_of_its_last_unit(
    clean_database, end: Callable[[SessionFactory, Claim], None]
):
    planned = plan_job(clean_database, 1)
    claimed = claim(clean_database, planned.unit_ids[0])
    cancel(clean_database, planned.job_id)
    end(clean_database, claimed)
    assert read_job(clean_database, planned.job_id).state == JobState.CANCELLED


def test_cancelling_twice_is_cancelling_once(clean_database):
    planned = plan_job(clean_database, 1)
    assert [cancel(clean_database, planned.job_id) for _ in range(2)] == ["cancelling", "cancelling"]
    settle(clean_database)
    assert cancel(clean_database, planned.job_id) == "cancelled"


def test_a_job_that_has_ended_cannot_be_cancelled(clean_database):
    planned = plan_job(clean_database, 1)
    finish(clean_database, claim(clean_database, planned.unit_ids[0]))
    with pytest.raises(JobAlreadyEnded):
        cancel(clean_database, planned.job_id)
    with pytest.raises(JobNotFound):
        cancel(clean_database, uuid4())


def test_one_job_that_cannot_end_does_not_keep_the_others_from_ending(clean_database):
    planned = plan_job(clean_database, 1)
    with transaction(clean_database) as session:
        session.add(Job(kind="analysis", owner="tests", params={}))  # without any unit
    cancel(clean_database, planned.job_id)
    settle(clean_database)
    assert read_job(clean_database, planned.job_id).state == JobState.CANCELLED


def test_a_retry_takes_up_what_failed_and_nothing_else(clean_database):
    planned = plan_job(clean_database, 3)
    with transaction(clean_database) as session:
        session.get_one(Job, planned.job_id).model_id = make_model(session).id
    claimed = claim(clean_database, planned.unit_ids[0])
    with transaction(clean_database) as session, pytest.raises(JobNotFinished):
        retry_job(session, planned.job_id, SubmissionContext("me"))
    record(clean_database, claimed, [0, 2])
    record(clean_database, claimed, [1], ItemState.FAILED)
    finish(clean_database, claimed)
    with transaction(clean_database) as session:
        retry = retry_job(session, planned.job_id, SubmissionContext("me")).job
    assert (retry.retry_of, retry.params, retry.state) == (planned.job_id, {"library": "music"}, "queued")
    with clean_database() as session:
        unit = session.scalars(select(JobUnit).where(JobUnit.job_id == retry.id)).one()
        assert (unit.kind, unit.payload) == ("plan", {"retry_of": str(planned.job_id)})


def test_a_job_without_failed_items_has_nothing_to_retry(clean_database):
    planned = plan_job(clean_database, 1)
    record(clean_database, claimed := claim(clean_database, planned.unit_ids[0]), [0])
    finish(clean_database, claimed)
    with transaction(clean_database) as session, pytest.raises(NothingToRetry):
        retry_job(session, planned.job_id, SubmissionContext("me"))


def test_progress_is_the_sum_of_the_rows(clean_database):
    planned = plan_job(clean_database, 4, 4)
    first, second = (claim(clean_database, unit_id) for unit_id in planned.unit_ids)
    record(clean_database, first, [0, 1])
    record(clean_database, second, [0], ItemState.FAILED)
    record(clean_database, second, [1], ItemState.SKIPPED)
    with clean_database() as session:
        progress = get_progress(session, [get_job(session, planned.job_id)])[planned.job_id]
        rows = dict(session.execute(select(JobItem.state, func.count()).group_by(JobItem.state)).all())
    assert rows == {"done": 2, "failed": 1, "skipped": 1, "pending": 4}
    assert (progress.total, progress.done, progress.failed, progress.skipped) == (8, 2, 1, 1)
    assert progress.percent == 50.0
    assert progress.rate_per_s
    assert progress.eta_s is not None


def test_progress_says_no_percentage_while_the_library_is_still_being_listed(music):
    job_id = submit(music)
    with music() as session:
        progress = get_progress(session, [get_job(session, job_id)])[job_id]
    assert (progress.percent, progress.eta_s, progress.total) == (None, None, 0)


def test_jobs_are_listed_newest_first_page_by_page(clean_database):
    job_ids = [plan_job(clean_database, 1).job_id for _ in range(5)]
    seen: list[UUID] = []
    cursor = None
    with clean_database() as session:
        while True:
            page = list_jobs(session, cursor, 2)
            seen += [job.id for job in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert seen == job_ids[::-1]
        assert [job.id for job in list_jobs(session, None, 9, JobState.RUNNING).items] == []


def test_what_is_asked_every_second_is_planned_for_what_is_open(session):
    for _ in range(12):  # after some executions Postgres may keep a plan for any state of a job
        has_open_jobs(session)
        ready_queues(session)
    query = "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE '%jobs%'"
    prepared = session.execute(text(query)).all()
    assert len(prepared) >= 2
    assert [generic for generic, _ in prepared if generic] == []
