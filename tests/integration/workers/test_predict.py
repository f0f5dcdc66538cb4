"""Labelling one upload."""

import os
import time
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from api.uploads import keep_for_retry
from core.config.params import PredictParams
from core.errors import Unavailable
from core.jobs.endings import MAX_ATTEMPTS
from core.jobs.kinds import SubmissionContext
from core.jobs.progress import get_progress
from core.jobs.submission import retry_job
from core.services.prediction import submit_prediction
from core.states import JobState
from core.store.registry import resolve_model
from core.store.session import transaction
from core.store.tables import JobUnit
from tests.integration.workers.music import Music
from tests.integration.workers.test_relabelling import Head
from tests.support.builders import make_model
from tests.support.planned import expire, make_due, read_job, reap
from tests.support.worker import analysis_of, open_units, run
from workers.analysis import analyse_upload
from workers.lease import Lease


class Killed(BaseException):
    """The worker process is gone: no handler runs."""


@pytest.fixture
def upload(music, process_settings, tagger):
    """Store a file and submit its job."""

    def submit(content: bytes = b"a song") -> UUID:
        job_id = uuid4()
        (process_settings.uploads_dir / str(job_id)).write_bytes(content)
        with transaction(music.sessions) as session:
            submit_prediction(session, job_id, PredictParams(filename="song.mp3"), SubmissionContext("tests"))
        return job_id

    return submit


def unit_of(music: Music, job_id: UUID) -> int:
    with music.sessions() as session:
        return session.scalars(select(JobUnit.id).where(JobUnit.job_id == job_id)).one()


def progress(music: Music, job_id: UUID) -> Any:
    with music.sessions() as session:
        return get_progress(session, [read_job(music.sessions, job_id)])[job_id]


def test_an_upload_gets_a_result_and_its_file_is_deleted(music, upload, process_settings):
    job_id = upload(b"a song")
    run(music.sessions, unit_of(music, job_id))
    job = read_job(music.sessions, job_id)
    (prediction,) = music.predictions()
    assert job.state == JobState.SUCCEEDED
    assert job.result == {"content_hash": prediction.content_hash.hex()}
    assert prediction.scores == pytest.approx(analysis_of(b"a song").scores.tolist())
    assert (progress(music, job_id).done, progress(music, job_id).percent) == (1, 100.0)
    assert list(process_settings.uploads_dir.iterdir()) == []


def test_an_upload_that_cannot_be_labelled_fails_its_job_with_the_reason(music, upload):
    job_id = upload(b"bad")
    run(music.sessions, unit_of(music, job_id))
    job = read_job(music.sessions, job_id)
    assert (job.state, job.error_code, job.result) == (JobState.FAILED, "corrupt", None)
    assert "damaged" in (job.error_detail or "")
    assert music.predictions() == []
    assert (progress(music, job_id).done, progress(music, job_id).failed) == (0, 1)


def test_an_upload_whose_file_is_gone_fails_its_job(music, upload, process_settings):
    job_id = upload()
    (process_settings.uploads_dir / str(job_id)).unlink()
    run(music.sessions, unit_of(music, job_id))
    assert read_job(music.sessions, job_id).error_code == "disappeared"


def test_an_upload_that_failed_is_kept_for_a_retry_from_then_on(music, upload, process_settings):
    job_id = upload(b"bad")
    file = process_settings.uploads_dir / str(job_id)
    os.utime(file, (0, 0))
    run(music.sessions, unit_of(music, job_id))
    assert time.time() - file.stat().st_mtime < 60
    file.write_bytes(b"a song after all")
    with transaction(music.sessions) as session:
        retry = retry_job(session, job_id, SubmissionContext("tests")).job.id
    keep_for_retry(process_settings, job_id, retry)
    run(music.sessions, unit_of(music, retry))
    assert read_job(music.sessions, retry).state == JobState.SUCCEEDED
    assert (progress(music, retry).total, progress(music, retry).done) == (1, 1)
    assert [path.name for path in process_settings.uploads_dir.iterdir()] == [str(job_id)]


def test_a_second_run_after_the_result_was_written_does_nothing_again(
    music, upload, tagger, process_settings
):
    job_id = upload()
    unit_id = unit_of(music, job_id)

    def dies_before_it_ends(lease: Lease) -> None:
        analyse_upload(lease)
        raise Killed

    with pytest.raises(Killed):
        run(music.sessions, unit_id, dies_before_it_ends)
    written = read_job(music.sessions, job_id).result
    assert written
    expire(music.sessions, unit_id)
    reap(music.sessions)
    run(music.sessions, unit_id)
    job = read_job(music.sessions, job_id)
    assert (job.state, job.result) == (JobState.SUCCEEDED, written)
    assert len(tagger.analysed) == 1
    assert progress(music, job_id).done == 1


def test_a_crash_before_the_result_is_written_leaves_the_upload_for_the_next_run(music, upload, tagger):
    job_id = upload()
    unit_id = unit_of(music, job_id)

    def die(_: int) -> None:
        raise Killed

    tagger.before = die
    with pytest.raises(Killed):
        run(music.sessions, unit_id)
    expire(music.sessions, unit_id)
    reap(music.sessions)
    tagger.before = lambda _: None
    run(music.sessions, unit_id)
    assert read_job(music.sessions, job_id).state == JobState.SUCCEEDED


def test_a_service_that_is_away_is_tried_again_and_keeps_the_upload(music, upload, tagger, process_settings):
    job_id = upload()

    def be_away(_: int) -> None:
        raise Unavailable("The store is away.")

    tagger.before = be_away
    for _ in range(MAX_ATTEMPTS):
        assert read_job(music.sessions, job_id).state != JobState.FAILED
        assert (process_settings.uploads_dir / str(job_id)).exists()
        (unit,) = open_units(music.sessions, job_id)
        make_due(music.sessions, unit.id)
        run(music.sessions, unit.id)
    assert read_job(music.sessions, job_id).error_code == "unavailable"


def test_the_same_upload_twice_is_one_result(music, upload):
    job_ids = [upload(b"a song") for _ in range(2)]
    for job_id in job_ids:
        run(music.sessions, unit_of(music, job_id))
    assert len(music.predictions()) == 1
    first, second = (read_job(music.sessions, job_id).result for job_id in job_ids)
    assert first == second


def test_an_upload_whose_audio_its_backbone_has_heard_is_not_decoded(music, upload, monkeypatch):
    run(music.sessions, unit_of(music, upload(b"a song")))
    with transaction(music.sessions) as session:
        encoder_id = resolve_model(session, "default").encoder_id
        make_model(session, name="head", kind="transfer", sha256="h", encoder_id=encoder_id)
    head = Head()
    monkeypatch.setattr("workers.analysis.get_tagger", lambda model, threads: head)
    job_id = upload(b"a song")
    run(music.sessions, unit_of(music, job_id))
    assert head.analysed == []
    assert read_job(music.sessions, job_id).state == JobState.SUCCEEDED
    assert len({prediction.model_id for prediction in music.predictions()}) == 2
