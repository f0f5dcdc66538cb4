"""Submit, look at, list, cancel and retry jobs over HTTP."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import Engine, event, func, select, text

from core.config.tuning import TuningConfig
from core.settings import Settings
from core.states import JobState
from core.store.session import SessionFactory
from core.store.tables import Job, JobItem, JobUnit, Model, Study, Trial
from tests.integration.api.gateway import problem_of
from tests.integration.api.test_studies import STUDY
from tests.integration.api.test_trainings import RESULTS
from tests.support.builders import (
    make_analysed_track,
    make_finished_job,
    make_job,
    make_library,
    make_model,
    make_prediction,
    make_run,
    make_track,
)

JOBS = "/api/v1/jobs"


@pytest.fixture
def library(db: SessionFactory, music: Path) -> str:
    """A library and a default model, ready to be analysed."""
    with db.begin() as session:
        make_model(session)
        return make_library(session, name="home", path=str(music)).name


def submit(http: httpx.Client, key: str | None = None, **params: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return http.post(JOBS, json={"kind": "analysis", "params": params}, headers=headers)


def count(db: SessionFactory, table: type[Job] | type[JobUnit]) -> int | None:
    with db() as session:
        return session.scalar(select(func.count()).select_from(table))


def test_a_submitted_job_is_committed_with_its_first_unit(http, db, library):
    response = submit(http, library=library, path="jazz")
    assert response.status_code == 202
    job = response.json()
    assert response.headers["location"] == f"{JOBS}/{job['id']}"
    assert int(response.headers["retry-after"]) >= 1
    assert job["state"] == "queued"
    assert job["params"] == {
        "library": "home",
        "path": "jazz",
        "query": None,
        "model": "default",
        "coverage": "full",
        "force": False,
        "confirm_empty": False,
    }
    assert job["progress"]["percent"] is None
    with db() as session:
        unit = session.scalars(select(JobUnit).where(JobUnit.job_id == UUID(job["id"]))).one()
        assert (unit.kind, unit.queue, unit.state) == ("plan", "plan", "ready")


def test_a_commit_that_fails_is_an_error_and_no_promise(http, db, library):
    """The constraint is checked at the commit, when the route has long returned its answer."""
    with db.begin() as session:
        session.execute(
            text(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'serialization_failure'; END $$"
            )
        )
        session.execute(
            text(
                "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON jobs DEFERRABLE INITIALLY DEFERRED "
                "FOR EACH ROW EXECUTE FUNCTION refuse()"
            )
        )
    try:
        response = submit(http, library=library)
    finally:
        with db.begin() as session:
            session.execute(text("DROP FUNCTION refuse CASCADE"))
    assert problem_of(response, 503) == "unavailable"
    assert int(response.headers["retry-after"]) >= 1
    assert "location" not in response.headers
    assert count(db, Job) == 0


def test_the_same_key_answers_the_same_job(http, db, library):
    first = submit(http, "k1", library=library)
    again = submit(http, "k1", library=library)
    assert again.status_code == 202
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert count(db, Job) == 1


def test_a_known_key_is_answered_although_everything_it_names_is_gone(http, db, library, music):
    first = submit(http, "k1", library=library, path="jazz").json()
    (music / "jazz").rmdir()
    assert problem_of(submit(http, "k2", library=library, path="jazz"), 422) == "library_folder_missing"
    assert submit(http, "k1", library=library, path="jazz").json() == first
    with db.begin() as session:
        session.execute(text("UPDATE libraries SET name = 'another'"))
        session.execute(text("UPDATE models SET name = 'another'"))
        session.execute(text("DELETE FROM model_aliases"))
    again = submit(http, "k1", library=library, path="jazz")
    assert (again.status_code, again.json()) == (202, first)
    assert again.headers["idempotent-replayed"] == "true"
    assert count(db, Job) == 1


def test_a_known_key_of_a_retry_is_answered_although_the_job_is_gone(http, db):
    with db.begin() as session:
        known, model = make_library(session), make_model(session)
        job = make_finished_job(session, known, model, [], [make_track(session, known)])
    key = {"Idempotency-Key": "again"}
    first = http.post(f"{JOBS}/{job.id}/retry", headers=key)
    with db.begin() as session:
        session.delete(session.get_one(Job, job.id))
    again = http.post(f"{JOBS}/{job.id}/retry", headers=key)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert problem_of(http.post(f"{JOBS}/{job.id}/retry", headers={"Idempotency-Key": "x"}), 404)
    other = http.post(f"{JOBS}/{uuid4()}/retry", headers=key)
    assert problem_of(other, 422) == "idempotency_key_reused"


def test_the_same_key_with_another_request_is_refused(http, db, library):
    submit(http, "k1", library=library)
    assert problem_of(submit(http, "k1", library=library, force=True), 422) == "idempotency_key_reused"
    assert count(db, Job) == 1


def test_fifty_posts_of_one_key_at_once_make_one_job(http, db, library):
    with ThreadPoolExecutor(50) as pool:
        responses = list(pool.map(lambda _: submit(http, "k1", library=library), range(50)))
    assert {response.status_code for response in responses} == {202}
    assert len({response.json()["id"] for response in responses}) == 1
    assert sum("idempotent-replayed" in response.headers for response in responses) == 49
    assert (count(db, Job), count(db, JobUnit)) == (1, 1)


@pytest.mark.parametrize("key", ["", "k" * 256, "a b", "naïve"])
def test_a_strange_key_is_refused(http, db, library, key):
    headers = [(b"Idempotency-Key", key.encode("latin-1"))]
    response = http.post(JOBS, json={"kind": "analysis", "params": {"library": library}}, headers=headers)
    assert problem_of(response, 422) == "invalid"
    assert response.json()["errors"][0]["location"] == "header.idempotency-key"


@pytest.mark.parametrize(
    ("body", "location"),
    [
        ({"kind": "analysis"}, "body.params"),
        ({"kind": "analysis", "params": {}}, "body.params.library"),
        ({"kind": "analysis", "params": {"library": "home", "colour": 1}}, "body.params.colour"),
        ({"kind": "analysis", "params": {"library": "home"}, "extra": 1}, "body.extra"),
        ({"kind": "predict", "params": {"filename": "x"}}, "body.kind"),
        ({"kind": "dance", "params": {}}, "body.kind"),
        ({"kind": "analysis", "params": {"library": "h" * 201}}, "body.params.library"),
        ([], "body"),
    ],
)
def test_a_wrong_body_is_explained_field_by_field(http, library, body, location):
    response = http.post(JOBS, json=body)
    assert problem_of(response, 422) == "invalid"
    assert location in [error["location"] for error in response.json()["errors"]]
    assert {*response.json()["errors"][0]} == {"location", "code", "detail"}


@pytest.mark.parametrize("windows", [0, -1, 1001, "many"])
def test_a_coverage_out_of_bounds_is_refused(http, library, windows):
    assert problem_of(submit(http, library=library, coverage={"windows": windows}), 422) == "invalid"


@pytest.mark.parametrize(
    ("params", "status", "name"),
    [
        ({"library": "nope"}, 404, "library_not_found"),
        ({"library": "home", "model": "nope"}, 404, "model_not_found"),
        ({"library": "home", "path": "rock"}, 422, "library_folder_missing"),
        ({"library": "home", "path": "../.."}, 422, "outside_library"),
        ({"library": "home", "path": "jazz/../../x"}, 422, "outside_library"),
        ({"library": "home", "path": "/etc"}, 422, "outside_library"),
        ({"library": "home", "path": "..\\.."}, 422, "outside_library"),
        ({"library": "home", "path": "%2e%2e"}, 422, "library_folder_missing"),
        ({"library": "home", "path": "jazz//x"}, 422, "invalid"),
        ({"library": "home", "path": "way-out"}, 422, "outside_library"),
    ],
)
def test_what_a_job_names_must_exist_inside_its_library(http, db, library, music, params, status, name):
    (music / "way-out").symlink_to("/etc")
    assert problem_of(submit(http, **params), status) == name
    assert count(db, Job) == 0


def test_a_job_shows_its_progress_and_when_to_ask_again(http, db, library):
    with db.begin() as session:
        job = make_job(
            session, state=JobState.RUNNING, total=10, unit={"state": "done", "done": 4, "failed": 1}
        )
    response = http.get(f"{JOBS}/{job.id}")
    assert response.status_code == 200
    assert int(response.headers["retry-after"]) >= 1
    progress = response.json()["progress"]
    assert (progress["total"], progress["done"], progress["failed"]) == (10, 4, 1)
    assert progress["percent"] == 50


def test_an_ended_job_has_no_retry_after(http, db):
    with db.begin() as session:
        job = make_job(session, state=JobState.FAILED, error_code="gave_up", error_detail="Too often.")
    response = http.get(f"{JOBS}/{job.id}")
    assert "retry-after" not in response.headers
    assert response.json()["error"] == {"code": "gave_up", "detail": "Too often."}


def test_jobs_are_listed_newest_first_and_pages_stay_stable(http, db):
    with db.begin() as session:
        old = [str(make_job(session).id) for _ in range(5)]  # all created at the same instant
    first = http.get(JOBS, params={"limit": 2}).json()
    with db.begin() as session:
        newest = str(make_job(session).id)
    seen = [job["id"] for job in first["items"]]
    cursor = first["next_cursor"]
    while cursor:
        page = http.get(JOBS, params={"limit": 2, "cursor": cursor}).json()
        seen += [job["id"] for job in page["items"]]
        cursor = page["next_cursor"]
    assert sorted(seen) == sorted(old)
    assert http.get(JOBS, params={"limit": 1}).json()["items"][0]["id"] == newest


def test_jobs_can_be_listed_by_state(http, db):
    with db.begin() as session:
        make_job(session)
        done = make_job(session, state=JobState.SUCCEEDED)
    items = http.get(JOBS, params={"state": "succeeded"}).json()["items"]
    assert [job["id"] for job in items] == [str(done.id)]


def test_a_cancelled_job_is_answered_at_once_and_twice_is_once(http, db):
    with db.begin() as session:
        job = make_job(session, state=JobState.RUNNING)
    for _ in range(2):
        response = http.post(f"{JOBS}/{job.id}/cancel")
        assert response.status_code == 202
        assert response.json()["state"] == "cancelling"
        assert response.headers["location"] == f"{JOBS}/{job.id}"
    with db() as session:
        assert session.get_one(Job, job.id).state == "cancelling"


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED])
def test_an_ended_job_cannot_be_cancelled(http, db, state):
    with db.begin() as session:
        job = make_job(session, state=state)
    assert problem_of(http.post(f"{JOBS}/{job.id}/cancel"), 409) == "job_already_ended"


def test_retry_makes_a_new_job_of_the_failed_items(http, db):
    with db.begin() as session:
        library, model = make_library(session), make_model(session)
        job = make_finished_job(session, library, model, [], [make_track(session, library)])
    response = http.post(f"{JOBS}/{job.id}/retry", headers={"Idempotency-Key": "again"})
    assert response.status_code == 202
    new_id = response.json()["id"]
    assert new_id != str(job.id)
    assert response.headers["location"] == f"{JOBS}/{new_id}"
    with db() as session:
        assert session.get_one(Job, UUID(new_id)).retry_of == job.id
    replayed = http.post(f"{JOBS}/{job.id}/retry", headers={"Idempotency-Key": "again"})
    assert replayed.json()["id"] == new_id


def failed_upload(db: SessionFactory, settings: Settings, state: JobState = JobState.FAILED) -> UUID:
    """An ended prediction whose file is still kept."""
    with db.begin() as session:
        job_id = make_job(session, kind="predict", state=state, model_id=make_model(session).id).id
    settings.uploads_dir.mkdir(parents=True, exist_ok=True)
    (settings.uploads_dir / str(job_id)).write_bytes(b"a song")
    return job_id


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
def test_retry_labels_an_upload_again_while_its_file_is_kept(http, db, open_settings, state):
    old_id = failed_upload(db, open_settings, state)
    headers = {"Idempotency-Key": "again"}
    response = http.post(f"{JOBS}/{old_id}/retry", headers=headers)
    assert response.status_code == 202
    job = response.json()
    assert (job["kind"], job["state"], job["progress"]["total"]) == ("predict", "queued", 1)
    assert (open_settings.uploads_dir / job["id"]).read_bytes() == b"a song"
    with db() as session:
        unit = session.scalars(select(JobUnit).where(JobUnit.job_id == UUID(job["id"]))).one()
        assert (unit.kind, unit.queue) == ("predict", "interactive")
    (open_settings.uploads_dir / str(old_id)).unlink()
    assert problem_of(http.post(f"{JOBS}/{old_id}/retry"), 409) == "upload_gone"
    assert http.post(f"{JOBS}/{old_id}/retry", headers=headers).json()["id"] == job["id"]
    assert count(db, Job) == 2


def test_an_upload_that_was_labelled_is_not_retried(http, db, open_settings):
    done = failed_upload(db, open_settings, JobState.SUCCEEDED)
    assert problem_of(http.post(f"{JOBS}/{done}/retry"), 409) == "nothing_to_retry"


def test_a_job_says_what_it_left_out_and_warns_of_while_it_runs_and_as_its_result(http, db):
    found = {"left_out": {".jpg": 312, "system_folder": 3}, "missing": 2, "warnings": ["Look here."]}
    with db.begin() as session:
        job_id = make_job(session, state=JobState.RUNNING, result=found).id
    job = http.get(f"{JOBS}/{job_id}").json()
    assert (job["progress"]["left_out"], job["progress"]["warnings"]) == (found["left_out"], ["Look here."])
    assert job["result"] is None
    with db.begin() as session:
        session.get_one(Job, job_id).state = JobState.SUCCEEDED
    assert http.get(f"{JOBS}/{job_id}").json()["result"] == found


def test_an_item_that_is_no_track_has_its_path_and_no_id(http, db):
    with db.begin() as session:
        library, model = make_library(session), make_model(session)
        job = make_finished_job(session, library, model, [], [make_track(session, library, path="a.mp3")])
        unit = session.scalars(
            select(JobUnit).where(JobUnit.job_id == job.id, JobUnit.kind == "analyse")
        ).one()
        no_track = {"track_id": None, "path": "link.mp3", "state": "failed", "error_code": "outside_library"}
        session.add(JobItem(unit_id=unit.id, pos=1, job_id=job.id, **no_track))
    items = http.get(f"{JOBS}/{job.id}/items", params={"state": "failed"}).json()["items"]
    assert [(item["path"], item["track_id"] is None) for item in items] == [
        ("a.mp3", False),
        ("link.mp3", True),
    ]
    assert items[1]["error"]["code"] == "outside_library"
    assert http.post(f"{JOBS}/{job.id}/retry").status_code == 202


@pytest.mark.parametrize(("asked", "stored"), [("Caf\u00e9/", "Cafe\u0301"), ("Cafe\u0301", "Caf\u00e9")])
def test_a_folder_is_named_with_a_slash_behind_it_and_in_any_unicode_form(
    http, library, music, asked, stored
):
    (music / stored).mkdir()
    assert submit(http, library=library, path=asked).status_code == 202
    assert submit(http, library=library, path="jazz/").status_code == 202
    assert problem_of(submit(http, library=library, path="/"), 422) == "outside_library"


def test_there_must_be_something_to_retry(http, db):
    with db.begin() as session:
        library, model = make_library(session), make_model(session)
        track = make_analysed_track(session, library, model, "a.mp3")
        complete = make_finished_job(session, library, model, [track])
        at_work = make_job(session, state=JobState.RUNNING)
    assert problem_of(http.post(f"{JOBS}/{complete.id}/retry"), 409) == "nothing_to_retry"
    assert problem_of(http.post(f"{JOBS}/{at_work.id}/retry"), 409) == "job_not_finished"


def test_items_can_be_listed_by_state_and_page_by_page(http, db):
    with db.begin() as session:
        library, model = make_library(session), make_model(session)
        analysed = [make_analysed_track(session, library, model, f"{n}.mp3") for n in range(3)]
        bad = [make_track(session, library, path=f"bad-{n}.mp3") for n in range(3)]
        job = make_finished_job(session, library, model, analysed, bad)
    failed = http.get(f"{JOBS}/{job.id}/items", params={"state": "failed"}).json()
    assert [item["path"] for item in failed["items"]] == ["bad-0.mp3", "bad-1.mp3", "bad-2.mp3"]
    assert failed["items"][0]["error"] == {"code": "not_audio", "detail": "The content is not audio."}
    seen, cursor = [], None
    while True:
        query = {"limit": 4} | ({"cursor": cursor} if cursor else {})
        page = http.get(f"{JOBS}/{job.id}/items", params=query).json()
        seen += [item["path"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ["0.mp3", "1.mp3", "2.mp3", "bad-0.mp3", "bad-1.mp3", "bad-2.mp3"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("GET", "/items"),
        ("GET", "/results"),
        ("GET", "/events"),
    ],
)
def test_an_unknown_job_is_not_found(http, method, path):
    assert problem_of(http.request(method, f"{JOBS}/{uuid4()}{path}"), 404) == "job_not_found"
    assert problem_of(http.request(method, f"{JOBS}/no-uuid{path}"), 422) == "invalid"


def add_jobs(db: SessionFactory, count: int) -> None:
    """As many ended predictions, trainings, studies and analyses."""
    config = TuningConfig.model_validate(STUDY).model_dump(mode="json")
    with db.begin() as session:
        library = make_library(session, name=f"library-{count}")
        model = session.scalars(select(Model)).first() or make_model(session)
        track = make_analysed_track(session, library, model, "a.mp3")
        for _ in range(count):
            digest = make_prediction(session, model).content_hash
            ended: dict[str, Any] = {"state": JobState.SUCCEEDED, "unit": {"state": "done"}}
            make_job(
                session, kind="predict", model_id=model.id, result={"content_hash": digest.hex()}, **ended
            )
            make_finished_job(session, library, model, [track])
            run = make_run(session, model_id=model.id, metrics={}, results=RESULTS)
            session.get_one(Job, run.id).result = {"run_id": str(run.id)}
            study = make_job(session, kind="tuning", params={"study": {"study_name": "x"}}, **ended)
            study.result = {"study_id": str(study.id), "best": [0]}
            session.add(Study(id=study.id, name="x", config=config, job_id=study.id))
            session.flush()
            session.add(
                Trial(
                    study_id=study.id, number=0, state="complete", params={"training.lr": 0.1}, values=[0.5]
                )
            )


def test_a_page_of_jobs_takes_the_same_number_of_statements_however_long(http, db, monkeypatch):
    """Of every kind whose result is looked up."""
    monkeypatch.setattr("core.jobs.space.MEASURE_EVERY_S", 3600)
    http.get(JOBS)  # measures how much space there is
    counts = []
    for more in (1, 49):
        add_jobs(db, more)
        with counted_statements() as statements:
            page = http.get(JOBS, params={"limit": 1000}).json()["items"]
        counts.append(len(statements))
    assert len(page) == 200
    kinds = {job["kind"] for job in page if job["result"]}
    assert kinds == {"predict", "training", "tuning"}
    assert {job["kind"] for job in page if not job["result"]} == {"analysis"}
    assert counts[0] == counts[1] <= 14


@contextmanager
def counted_statements() -> Iterator[list[str]]:
    """What this process sends to any database, the gateway's threads among it."""
    statements: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", note)
