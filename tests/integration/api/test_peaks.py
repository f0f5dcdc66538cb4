"""Waveforms over HTTP: stored ones, and those that a worker computes when they are asked for."""

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import numpy as np
import pytest
from sqlalchemy import func, select

from core.ml.audio.waveform import Waveform
from core.states import JobState
from core.store.session import SessionFactory
from core.store.tables import Job, Library, Track
from core.store.tables import Waveform as WaveformRow
from core.store.waveforms import save_waveforms
from tests.integration.api.gateway import bearer, problem_of
from tests.support.builders import make_api_key, make_library, make_track
from tests.support.sounds import SAMPLE_RATE, encode, tone
from tests.support.worker import work_off

AUDIO = b"\x05" * 32


@pytest.fixture
def song(db: SessionFactory, music: Path) -> Track:
    """A track that was analysed before waveforms were stored: two seconds, the second one louder."""
    file = music / "song.wav"
    quiet, loud = tone(440, 1, level=0.25), tone(440, 1, level=0.5)
    file.write_bytes(encode(np.concatenate((quiet, loud)), SAMPLE_RATE, "wav"))
    status = file.stat()
    with db.begin() as session:
        library = make_library(session, name="home", path=str(music))
        values = {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "content_hash": AUDIO}
        return make_track(session, library, path="song.wav", **values)


def ask(http: httpx.Client, track: Track, wait_s: int = 0, **query: Any) -> httpx.Response:
    return http.get(f"/api/v1/tracks/{track.id}/peaks", params=query, headers={"Prefer": f"wait={wait_s}"})


def count_jobs(db: SessionFactory) -> int:
    with db() as session:
        return session.scalar(select(func.count()).select_from(Job)) or 0


def test_peaks_that_are_stored_come_at_once_in_as_many_parts_as_asked_for(http, db, song):
    with db.begin() as session:
        levels = bytes([10, 20, 30, 40, 50, 60])
        save_waveforms(session, {AUDIO: Waveform(11.0, 2.0, levels, levels)})  # the last bin is half a bin
    found = ask(http, song, bins=6).json()
    assert (found["track_id"], found["duration_s"]) == (str(song.id), 11.0)
    assert ask(http, song, bins=2).json()["peaks"] == [30, 60]
    assert ask(http, song, bins=2).json()["rms"] == [22, 46]
    assert ask(http, song, bins=1).json()["peaks"] == [60]
    assert ask(http, song, bins=11).json()["peaks"] == [10, 10, 20, 20, 30, 30, 40, 40, 50, 50, 60]
    assert len(ask(http, song).json()["peaks"]) == 800
    assert count_jobs(db) == 0


def test_a_worker_computes_peaks_that_are_missing_once(http, db, song):
    first = ask(http, song)
    job = first.json()
    assert (first.status_code, job["kind"], job["state"]) == (202, "peaks", "queued")
    assert first.headers["location"] == f"/api/v1/jobs/{job['id']}"
    assert ask(http, song).json()["id"] == job["id"]
    work_off(db, UUID(job["id"]))
    answer = ask(http, song, bins=4)
    assert answer.status_code == 200
    assert answer.json()["peaks"] == pytest.approx([64, 64, 128, 128], abs=3)
    assert answer.json()["rms"] == pytest.approx([45, 45, 90, 90], abs=2)
    assert answer.json()["duration_s"] == pytest.approx(2, abs=0.01)
    assert count_jobs(db) == 1
    ended = http.get(f"/api/v1/jobs/{job['id']}").json()
    assert (ended["state"], ended["progress"]["done"]) == ("succeeded", 1)


def test_a_key_that_may_only_read_gets_peaks_too(keyed_http, db, song):
    with db.begin() as session:
        _, secret = make_api_key(session, "read")
    address = f"/api/v1/tracks/{song.id}/peaks"
    answer = keyed_http.get(address, headers=bearer(secret) | {"Prefer": "wait=0"})
    assert answer.status_code == 202
    assert keyed_http.get(answer.headers["location"], headers=bearer(secret)).status_code == 200


def test_a_file_that_cannot_be_decoded_is_not_tried_again_at_once(http, db, song, music):
    file = music / "song.wav"
    file.write_bytes(b"RIFF" + b"\0" * (song.size - 4))
    with db.begin() as session:
        session.get_one(Track, song.id).mtime_ns = file.stat().st_mtime_ns
    work_off(db, UUID(ask(http, song).json()["id"]))
    codes = [problem_of(ask(http, song), 422) for _ in range(2)]
    assert codes[0] == codes[1]
    assert count_jobs(db) == 1


def test_a_job_that_failed_for_another_reason_is_tried_again(http, db, song):
    job_id = UUID(ask(http, song).json()["id"])
    with db.begin() as session:
        job = session.get_one(Job, job_id)
        job.state, job.error_code, job.error_detail = JobState.FAILED, "internal", "The worker is broken."
    again = ask(http, song)
    assert again.status_code == 202
    assert again.json()["id"] != str(job_id)


def test_tracks_without_audio_to_decode_say_why(http, db, song, music):
    with db.begin() as session:
        new = make_track(session, session.get_one(Library, song.library_id))
    assert problem_of(ask(http, new), 409) == "track_not_analysed"
    song_file = music / "song.wav"
    song_file.write_bytes(b"another")
    assert problem_of(ask(http, song), 409) == "file_changed"
    song_file.unlink()
    assert problem_of(ask(http, song), 404) == "file_missing"
    assert problem_of(http.get(f"/api/v1/tracks/{uuid4()}/peaks"), 404) == "track_not_found"
    assert count_jobs(db) == 0


def test_a_file_that_changes_while_it_waits_gives_no_peaks(http, db, song, music):
    job_id = ask(http, song).json()["id"]
    (music / "song.wav").write_bytes(b"another")
    work_off(db, UUID(job_id))
    assert http.get(f"/api/v1/jobs/{job_id}").json()["error"]["code"] == "disappeared"
    with db() as session:
        assert session.scalars(select(WaveformRow)).all() == []


@pytest.mark.parametrize("bins", [0, 2001, "x"])
def test_a_wrong_number_of_parts_is_refused(http, song, bins):
    assert problem_of(ask(http, song, bins=bins), 422) == "invalid"
