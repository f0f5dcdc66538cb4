"""Old jobs go in small steps; what they have found out stays."""

from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from core.jobs.progress import get_progress
from core.services.retention import BATCH, delete_old_jobs
from core.services.sweep import PIECE, find_bare_jobs, remove_jobs, sweep_units
from core.states import JobState
from core.store.base import Base
from core.store.tables import Job, JobItem, JobUnit, Prediction, Run, Track
from tests.support.builders import (
    make_analysed_track,
    make_finished_job,
    make_item,
    make_job,
    make_library,
    make_model,
    make_run,
    make_track,
    make_unit,
)

OLD = text("now() - interval '91 days'")
YOUNG = text("now() - interval '89 days'")
ENDED: dict[str, Any] = {"state": JobState.SUCCEEDED, "unit": {"state": "done"}}


def count(session: Session, table: type[Base]) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0


def delete_all(session: Session, days: int = 90, batch: int = BATCH) -> int:
    """Mark and remove what is old; how many jobs there were."""
    total = 0
    while deleted := delete_old_jobs(session, days, batch):
        assert deleted <= batch
        total += deleted
    visible = list(session.scalars(select(Job)))
    remove_all(session)
    session.expire_all()
    assert list(session.scalars(select(Job))) == visible
    assert len(get_progress(session, visible)) == len(visible)
    return total


def remove_all(session: Session, limit: int = PIECE) -> int:
    """Sweep deleted jobs to the end; in how many pieces of units and items."""
    pieces = 0
    while sweep_units(session, limit):
        pieces += 1
    while bare := find_bare_jobs(session):
        remove_jobs(session, bare)
    return pieces


def test_an_old_job_goes_and_its_results_stay(session):
    library, model = make_library(session), make_model(session)
    track = make_analysed_track(session, library, model, "a.mp3")
    job = make_finished_job(session, library, model, [track], [make_track(session, library)])
    session.execute(update(Job).where(Job.id == job.id).values(finished_at=OLD))
    assert delete_old_jobs(session, 90) == 1
    assert list(session.scalars(select(Job))) == []  # from now on, whatever is still there of it
    assert delete_all(session) == 0
    assert [count(session, table) for table in (Job, JobUnit, JobItem)] == [0, 0, 0]
    assert (count(session, Prediction), count(session, Track)) == (1, 2)


def test_what_is_young_or_at_work_or_has_a_run_stays(session):
    make_job(session, **ENDED, finished_at=YOUNG)
    make_job(session, state=JobState.RUNNING, created_at=OLD, started_at=OLD)
    make_job(session, state=JobState.CANCELLING, created_at=OLD)
    run = make_run(session)
    session.execute(text("UPDATE job_units SET state = 'cancelled' WHERE kind = 'train'"))
    session.execute(
        text("UPDATE jobs SET state = 'cancelled', finished_at = now() - interval '91 days' WHERE id = :id"),
        {"id": run.id},
    )
    assert delete_all(session) == 0
    assert (count(session, Job), count(session, Run)) == (4, 1)
    assert delete_all(session, days=80) == 1


def test_a_job_whose_failed_tracks_are_about_to_be_taken_up_stays_until_then(session):
    old = make_job(session, **ENDED, finished_at=OLD)
    retry = make_job(session, retry_of=old.id)
    assert delete_all(session) == 0
    session.execute(text("UPDATE job_units SET state = 'cancelled' WHERE job_id = :id"), {"id": retry.id})
    session.execute(text("UPDATE jobs SET state = 'cancelled' WHERE id = :id"), {"id": retry.id})
    assert delete_all(session) == 1


def test_a_large_job_goes_a_few_units_at_a_time(session):
    job = make_job(session, **ENDED, finished_at=OLD)
    track = make_track(session)
    for seq in range(1, 10):
        make_item(session, make_unit(session, job, seq=seq, state="done"), track, 0)
    assert delete_old_jobs(session, 90) == 1
    assert remove_all(session, limit=40) >= 5  # of its ten units two at a time
    assert [count(session, table) for table in (Job, JobUnit, JobItem)] == [0, 0, 0]


def test_jobs_are_marked_a_batch_at_a_time(session):
    for _ in range(6):
        make_job(session, **ENDED, kind="predict", finished_at=OLD)
    large = make_job(session, **ENDED, finished_at=OLD)
    for seq in range(1, 4):
        make_unit(session, large, seq=seq, state="done")
    assert delete_old_jobs(session, 90, batch=5) == 5
    assert count(session, Job) == 2
    assert delete_all(session, batch=5) == 2
    assert [count(session, table) for table in (Job, JobUnit)] == [0, 0]


def test_deleting_a_job_finds_its_retries_without_looking_at_all_jobs(session):
    old = make_job(session, **ENDED, finished_at=OLD)
    retry = make_job(session, **ENDED, retry_of=old.id, finished_at=YOUNG)
    lookup = "EXPLAIN UPDATE jobs SET retry_of = NULL WHERE retry_of = '00000000-0000-0000-0000-000000000000'"
    session.execute(text("SET LOCAL enable_seqscan = off"))
    assert "ix_jobs_retry_of" in str(session.execute(text(lookup)).all())
    assert delete_all(session) == 1
    session.expire_all()
    assert session.get_one(Job, retry.id).retry_of is None
