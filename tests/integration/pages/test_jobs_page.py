"""Jobs: the list, one job, the form, in every state."""

import csv
import io
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import select

from api.pages.job_titles import KINDS
from core.config.params import JobKind
from core.states import ItemState, JobState, UnitState
from core.store.tables import Job, JobUnit
from tests.integration.api.gateway import bearer, problem_of
from tests.support.builders import (
    make_api_key,
    make_finished_job,
    make_item,
    make_job,
    make_library,
    make_model,
    make_track,
    make_unit,
    make_worker,
)

HTML = {"Accept": "text/html"}
HOSTILE = "<img src=x onerror=alert(1)>.mp3"


def page_of(http: httpx.Client, path: str, status: int = 200, **arguments) -> str:
    answer = http.request(arguments.pop("method", "GET"), path, headers=HTML, **arguments)
    assert answer.status_code == status, answer.text
    return answer.text


@pytest.fixture
def failed_job(db) -> Job:
    """An analysis with failures of two kinds."""
    with db.begin() as session:
        library, model = make_library(session, name="music"), make_model(session)
        tracks = [make_track(session, library) for _ in range(2)]
        failed = [make_track(session, library, path=path) for path in (HOSTILE, "=1+1.mp3")]
        job = make_finished_job(session, library, model, tracks, failed)
        unit = session.scalars(select(JobUnit).where(JobUnit.job_id == job.id, JobUnit.seq == 1)).one()
        unit.timings = {"decode": 3.0, "inference": 1.0}
        lost = make_track(session, library, path="lost.mp3")
        error = {"state": ItemState.FAILED, "error_code": "disappeared", "error_detail": "It is gone."}
        make_item(session, unit, lost, 9, **error)
        unit.failed += 1
    return job


def test_without_jobs_the_list_says_what_a_job_is(http):
    assert "There are no jobs yet" in page_of(http, "/jobs")
    assert "No job fits." in page_of(http, "/jobs?state=failed&kind=&library=")


def test_each_kind_of_job_has_a_name():
    assert KINDS.keys() == set(JobKind)


def test_the_list_is_filtered_and_paged_by_its_address(http, db):
    with db.begin() as session:
        library = make_library(session, name="music")
        for _ in range(51):
            make_job(session, library_id=library.id)
        make_job(session, state=JobState.FAILED)
    whole = page_of(http, "/jobs")
    assert whole.count('<tr id="job-') == 50
    assert "Older jobs" in whole
    assert page_of(http, "/jobs?state=failed").count('<tr id="job-') == 1
    of_library = page_of(http, "/jobs?library=music&kind=analysis")
    assert of_library.count('<tr id="job-') == 50
    assert "library=music&amp;kind=analysis&amp;cursor=" in of_library
    page_of(http, "/jobs?library=nowhere", 404)


def test_rest_filters_jobs_like_the_page(http, db):
    with db.begin() as session:
        library = make_library(session, name="music")
        wanted = make_job(session, library_id=library.id)
        make_job(session)
        make_job(session, kind="predict")
    found = http.get("/api/v1/jobs", params={"library": "music"}).json()["items"]
    assert [job["id"] for job in found] == [str(wanted.id)]
    assert len(http.get("/api/v1/jobs", params={"kind": "predict"}).json()["items"]) == 1
    assert problem_of(http.get("/api/v1/jobs", params={"library": "x"}), 404) == "library_not_found"


def test_failures_are_grouped_by_code_and_retried_by_group(http, db, failed_job):
    address = f"/jobs/{failed_job.id}"
    page = page_of(http, address)
    assert page.index("not_audio") < page.index("disappeared")  # the larger group comes first
    assert f"/api/v1{address}/failures.csv?code=not_audio" in page
    assert "decode" in page
    listed = page_of(http, f"{address}?code=not_audio")
    assert "&lt;img src=x onerror=alert(1)&gt;.mp3" in listed
    assert "<img" not in listed
    assert "lost.mp3" not in listed
    answer = http.post(f"{address}/retry", data={"code": "disappeared"})
    assert answer.status_code == 303
    with db() as session:
        retry = session.scalars(select(Job).where(Job.retry_of == failed_job.id)).one()
        assert answer.headers["location"] == f"../../jobs/{retry.id}"
        plan = session.scalars(select(JobUnit).where(JobUnit.job_id == retry.id)).one()
        assert plan.payload == {"retry_of": str(failed_job.id), "code": "disappeared"}


def test_rest_tells_failures_by_code(http, failed_job):
    address = f"/api/v1/jobs/{failed_job.id}"
    failures = http.get(f"{address}/failures").json()
    assert [(group["code"], group["items"]) for group in failures["groups"]] == [
        ("not_audio", 2),
        ("disappeared", 1),
    ]
    assert failures["complete"] is True
    items = http.get(f"{address}/items", params={"code": "disappeared"}).json()["items"]
    assert [item["path"] for item in items] == ["lost.mp3"]
    table = http.get(f"{address}/failures.csv", params={"code": "not_audio"})
    assert table.headers["content-disposition"].endswith('-not_audio.csv"')
    rows = list(csv.reader(io.StringIO(table.text)))
    assert [row[0] for row in rows] == ["path", HOSTILE, "'=1+1.mp3"]
    assert len(http.get(f"{address}/failures.csv").text.splitlines()) == 4


def test_a_group_that_is_not_there_cannot_be_retried(http, db, failed_job):
    retry = f"/api/v1/jobs/{failed_job.id}/retry"
    assert problem_of(http.post(retry, params={"code": "crashed"}), 409) == "nothing_to_retry"
    assert problem_of(http.post(retry, params={"code": "No Code"}), 422) == "invalid"
    with db.begin() as session:
        other = make_job(session, kind="predict", state=JobState.FAILED)
    answer = http.post(f"/api/v1/jobs/{other.id}/retry", params={"code": "corrupt"})
    assert problem_of(answer, 409) == "job_has_no_items"
    text = page_of(http, f"/jobs/{failed_job.id}/retry", 409, method="POST", data={"code": "crashed"})
    assert "No item of this job has failed with the code" in text


def test_a_job_says_why_it_waits(http, db):
    with db.begin() as session:
        job = make_job(session, state=JobState.RUNNING, unit={"state": UnitState.DONE}, total=10)
        unit = make_unit(session, job)
    address = f"/jobs/{job.id}"

    def reason() -> list[str]:
        waits_for: list[str] = http.get(f"/api/v1{address}/activity").json()["waits_for"]
        assert all(
            f"It waits. {sentence.split(chr(39))[0]}" in page_of(http, address) for sentence in waits_for
        )
        return waits_for

    assert reason() == ["No dispatcher runs, which hands work to the workers."]
    with db.begin() as session:
        make_worker(session, name="dispatcher-1")
    assert reason() == ["No worker takes from the queue 'batch'."]
    with db.begin() as session:
        make_worker(session, "batch")
    assert reason() == ["It is about to begin: a worker of the queue 'batch' is free."]
    with db.begin() as session:
        make_unit(session, make_job(session), state=UnitState.RUNNING)
    assert reason() == ["All workers of the queue 'batch' are busy. Other units running: 1."]
    with db.begin() as session:
        row = session.get_one(JobUnit, unit.id)
        row.run_after, row.last_error = datetime.now(UTC) + timedelta(hours=1), "The disk is full."
    (again,) = reason()
    assert again.startswith("After an error it is tried again in ")
    assert again.endswith("s: The disk is full.")
    with db.begin() as session:
        session.get_one(JobUnit, unit.id).state = UnitState.RUNNING
    assert reason() == []


def test_a_job_is_cancelled(http, db):
    with db.begin() as session:
        job = make_job(session)
    assert http.post(f"/jobs/{job.id}/cancel").headers["location"] == f"../../jobs/{job.id}"
    page = page_of(http, f"/jobs/{job.id}")
    assert "cancelling" in page
    assert "/cancel" not in page


def test_who_may_not_write_sees_no_actions_and_is_refused(keyed_http, db):
    with db.begin() as session:
        owner, secret = make_api_key(session, "read")
        make_library(session, name="music")
        job = make_job(session, owner=str(owner.id))
    keyed_http.headers.update(bearer(secret))
    for path in (f"/jobs/{job.id}", "/jobs", "/"):
        page = page_of(keyed_http, path)
        assert "<button" not in page.replace('<button class="quiet">', "")
        assert "jobs/new" not in page
    assert "lacks the scope" in page_of(keyed_http, "/jobs/new", 403)
    assert "lacks the scope" in page_of(keyed_http, f"/jobs/{job.id}/cancel", 403, method="POST")


def test_the_form_submits_an_analysis_once(http, db, music):
    with db.begin() as session:
        make_library(session, name="home", path=str(music))
        make_model(session)
    form = page_of(http, "/jobs/new")
    assert 'name="once" value="' in form
    sent = {"library": "home", "path": "jazz", "force": "true", "once": "abc"}
    answers = [http.post("/jobs/new", data=sent) for _ in range(2)]
    assert {answer.status_code for answer in answers} == {303}
    assert len({answer.headers["location"] for answer in answers}) == 1
    with db() as session:
        job = session.scalars(select(Job)).one()
        assert answers[0].headers["location"] == f"../jobs/{job.id}"
        assert (job.params["path"], job.params["force"]) == ("jazz", True)


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({"library": "nowhere"}, "There is no library"),
        ({"library": "home", "path": "x" * 5000}, "String should have at most 4096 characters."),
        ({"library": "home", "path": "../elsewhere"}, ""),
        ({"library": "home", "model": "nothing"}, "There is no model"),
        ({"library": ""}, "String should have at least 1 character."),
    ],
)
def test_the_form_says_what_is_wrong_and_keeps_what_was_filled_in(http, db, music, sent, sentence):
    with db.begin() as session:
        make_library(session, name="home", path=str(music))
        make_model(session)
    page = page_of(http, "/jobs/new", 422, method="POST", data=sent)
    assert sentence in page
    assert 'role="alert"' in page
    if "path" in sent:
        assert f'value="{sent["path"]}"' in page
    with db() as session:
        assert session.scalars(select(Job)).all() == []


def test_without_a_library_the_form_says_how_to_get_one(http):
    assert "There is no library yet" in page_of(http, "/jobs/new")


def test_a_job_of_others_does_not_exist(keyed_http, db):
    with db.begin() as session:
        _, secret = make_api_key(session)
        job = make_job(session)
    keyed_http.headers.update(bearer(secret))
    page_of(keyed_http, f"/jobs/{job.id}", 404)
    for action in ("cancel", "retry"):
        page_of(keyed_http, f"/jobs/{job.id}/{action}", 404, method="POST")
