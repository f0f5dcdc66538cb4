"""The first page: empty, at work, with failures."""

import re

import httpx
from sqlalchemy import text

from core.states import JobState
from tests.support.builders import (
    make_analysed_track,
    make_finished_job,
    make_job,
    make_library,
    make_model,
    make_track,
    make_unit,
)
from tests.support.stack import eventually

HTML = {"Accept": "text/html"}


def with_steps(http: httpx.Client) -> str:
    page = http.get("/", headers=HTML).text
    return page if "in three steps" in page else ""


def test_a_new_server_shows_three_steps_and_what_it_waits_for(http, monkeypatch):
    monkeypatch.setattr("core.services.library_totals.IDLE_PER_WORK", 0)
    page = eventually(lambda: with_steps(http))  # totals are counted now and then
    assert "No dispatcher runs." in page
    assert "Not ready" in page
    assert "Nothing is running." in page


def without_steps(http: httpx.Client) -> str:
    page = http.get("/", headers=HTML).text
    return "" if "in three steps" in page else page


def test_a_server_at_work_shows_jobs_failures_and_totals(http, db, monkeypatch):
    monkeypatch.setattr("core.services.library_totals.IDLE_PER_WORK", 0)
    with db.begin() as session:
        library, model = make_library(session, name="music"), make_model(session)
        tracks = [make_track(session, library) for _ in range(3)]
        failed = make_finished_job(session, library, model, tracks, [make_track(session, library)])
        job = make_job(session, state=JobState.RUNNING, total=10, library_id=library.id)
        make_unit(session, job, done=4)
    page = eventually(lambda: without_steps(http))  # totals are counted now and then
    assert f'id="job-{job.id}"' in page
    assert "4 of 10" in page
    assert re.search(r"Counted <time [^>]*>just now</time>", page)
    assert "not_audio" in page
    assert f"jobs/{failed.id}#failures" in page


def with_labels(http: httpx.Client) -> str:
    page = http.get("/", headers=HTML).text
    return page[page.index("Top labels") :] if "Top labels" in page else ""


def test_the_most_frequent_labels_lead_to_their_tracks(http, db, monkeypatch):
    monkeypatch.setattr("core.services.library_totals.IDLE_PER_WORK", 0)
    with db.begin() as session:
        library, model = make_library(session), make_model(session)
        for number, scores in enumerate(([0.9, 0.2, 0.0], [0.8, 0.0, 0.0])):
            make_analysed_track(session, library, model, f"{number}.mp3", scores)
        session.execute(text("ANALYZE tracks"))
    bars = eventually(lambda: with_labels(http))  # totals are counted now and then
    assert re.findall(
        r'genre=(\w+)">\w+</a></dt><dd>(\d)</dd><dd class="all"><progress max="100" value="([\d.]+)"', bars
    ) == [
        ("rock", "2", "100.0"),
        ("jazz", "1", "50.0"),
    ]
