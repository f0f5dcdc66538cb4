"""Label one uploaded file; a thread of the test stands in for the worker."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from sqlalchemy import delete, func, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from api import waiting
from api.routes import analysis
from core.jobs import claims, counters, endings
from core.jobs.claims import Claim
from core.settings import Settings
from core.store.predictions import NewPrediction, save_predictions
from core.store.session import SessionFactory, transaction
from core.store.tables import Job, JobUnit, Model, ModelAlias
from tests.integration.api.gateway import problem_of
from tests.support.builders import make_model
from tests.support.worker import until

PREDICT = "/api/v1/analysis/predict"
DIGEST = b"\x01" * 32
Body = Callable[[Session, Claim], None]


@pytest.fixture(autouse=True)
def _model(db: SessionFactory) -> None:
    with db.begin() as session:
        make_model(session)


@pytest.fixture
def uploads(open_settings: Settings) -> Iterator[Path]:
    folder = open_settings.uploads_dir
    yield folder
    for file in folder.glob("*"):
        file.unlink()


def post(http: httpx.Client, wait: str | None = None, content: bytes = b"music", **request) -> httpx.Response:
    headers = request.pop("headers", {}) | ({"Prefer": wait} if wait else {})
    return http.post(PREDICT, files={"file": ("song.mp3", content)}, headers=headers, **request)


def label(session: Session, claim: Claim) -> None:
    """What the body of a `predict` unit writes."""
    model = session.scalars(select(Model)).one()
    save_predictions(session, model, [NewPrediction(DIGEST, "full", 3.0, [0.6, 0.2, 0.05], [1.0, 0, 0, 0])])
    session.get_one(Job, claim.job_id).result = {"content_hash": DIGEST.hex()}
    counters.count_unit_itself(session, claim)
    endings.finish_unit(session, claim)


def fail(code: str) -> Body:
    def write(session: Session, claim: Claim) -> None:
        endings.fail_unit(session, claim, code, "The reason in a sentence.", permanent=True)

    return write


@contextmanager
def worker(db: SessionFactory, body: Body) -> Iterator[None]:
    """Does the first unit that turns up."""

    def work() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with transaction(db) as session:
                unit_id = session.scalars(select(JobUnit.id).where(JobUnit.state == "ready")).one_or_none()
                claim = unit_id and claims.claim_unit(session, unit_id, "test", 60)
                if claim:
                    body(session, claim)
                    return
            time.sleep(0.01)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def test_a_prediction_done_in_time_is_the_answer(http, db, uploads):
    with worker(db, label):
        response = post(http, wait="wait=20")
    assert response.status_code == 200
    assert response.headers["preference-applied"] == "wait=20"
    assert response.json() == {
        "labels": [
            {"label": "rock", "score": 0.6, "source": "model"},
            {"label": "jazz", "score": 0.2, "source": "model"},
        ],
        "duration_s": 3.0,
        "model": "test-model@1",
        "warnings": [],
        "scores": None,
    }


def test_all_scores_come_on_request(http, db, uploads):
    with worker(db, label):
        response = post(http, params={"scores": "all"})
    assert response.json()["scores"] == {"rock": 0.6, "jazz": 0.2, "ambient": 0.05}
    assert "preference-applied" not in response.headers


def test_without_waiting_the_job_is_the_answer_and_polling_shows_the_prediction(http, db, uploads):
    response = post(http, wait="wait=0")
    assert response.status_code == 202
    assert response.headers["preference-applied"] == "wait=0"
    assert int(response.headers["retry-after"]) >= 1
    job = response.json()
    assert (job["kind"], job["state"], job["result"]) == ("predict", "queued", None)
    assert job["params"]["filename"] == "song.mp3"
    with worker(db, label):
        pass
    polled = http.get(response.headers["location"]).json()
    assert polled["state"] == "succeeded"
    assert polled["result"]["labels"][0] == {"label": "rock", "score": 0.6, "source": "model"}
    assert polled["progress"]["percent"] == 100


def test_the_file_is_stored_completely_before_the_job_can_be_seen(http, db, uploads):
    content = bytes(range(256)) * 4000
    job = post(http, wait="wait=0", content=content).json()
    assert (uploads / job["id"]).read_bytes() == content
    assert [file.name for file in uploads.iterdir()] == [job["id"]]


@pytest.mark.parametrize(
    ("code", "status"), [("not_audio", 422), ("too_short", 422), ("internal", 500), ("gave_up", 422)]
)
def test_a_file_that_cannot_be_labelled_is_a_problem_of_that_name(http, db, uploads, code, status):
    with worker(db, fail(code)):
        response = post(http)
    name = problem_of(response, status)
    assert name == (code if status == 422 else "job_failed")


def test_a_job_that_is_cancelled_ends_the_waiting(http, db, uploads):
    def cancel(session: Session, claim: Claim) -> None:
        session.get_one(Job, claim.job_id).state = "cancelling"
        endings.cancel_unit(session, claim)

    with worker(db, cancel):
        assert problem_of(post(http), 409) == "job_cancelled"


def test_waiting_holds_no_connection_to_the_database(http, db, uploads):
    """More waiting requests than the pool has connections, while others are served."""
    responses: list[httpx.Response] = []
    threads = [
        threading.Thread(target=lambda: responses.append(post(http, wait="wait=3"))) for _ in range(25)
    ]
    for thread in threads:
        thread.start()
    while _count_jobs(db) < 25:
        time.sleep(0.05)
    assert http.get("/api/v1/models").status_code == 200
    assert not responses
    for thread in threads:
        thread.join()
    assert {response.status_code for response in responses} == {202}


def test_beyond_so_many_waiting_requests_the_answer_comes_at_once(http, db, uploads, monkeypatch):
    monkeypatch.setattr(waiting, "waiters", asyncio.Semaphore(0))
    began = time.monotonic()
    response = post(http, wait="wait=20")
    assert response.status_code == 202
    assert "preference-applied" not in response.headers
    assert time.monotonic() - began < 10


def test_uploads_at_a_time_are_bounded_and_each_place_is_given_back(http, db, uploads, monkeypatch):
    monkeypatch.setattr(analysis, "uploads", asyncio.Semaphore(1))
    opened, done = threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield b"--x\r\n"
        opened.set()
        done.wait(20)
        yield b"--x--\r\n"

    form = {"Content-Type": "multipart/form-data; boundary=x"}
    first = threading.Thread(target=lambda: http.post(PREDICT, content=slowly(), headers=form))
    first.start()
    assert opened.wait(20)
    until(lambda: analysis.uploads.locked())
    refused = post(http, wait="wait=0")
    done.set()
    first.join()
    assert problem_of(refused, 503) == "unavailable"
    assert int(refused.headers["retry-after"]) > 0
    assert list(uploads.glob("*")) == []
    assert post(http, wait="wait=0").status_code == 202


def _count_jobs(db: SessionFactory) -> int:
    with db() as session:
        return session.scalars(select(func.count()).select_from(Job)).one()


def test_the_same_key_and_file_are_stored_once(http, db, uploads):
    key = {"Idempotency-Key": "k1"}
    first = post(http, wait="wait=0", headers=key)
    again = post(http, wait="wait=0", headers=key)
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["idempotent-replayed"] == "true"
    assert len(list(uploads.iterdir())) == 1


def test_a_known_key_is_answered_although_the_model_is_gone(http, db, uploads):
    key = {"Idempotency-Key": "k1"}
    first = post(http, wait="wait=0", headers=key)
    with db.begin() as session:
        session.execute(delete(ModelAlias))
    assert problem_of(post(http, wait="wait=0"), 404) == "model_not_found"
    assert post(http, wait="wait=0", headers=key).json()["id"] == first.json()["id"]


def test_the_same_key_with_another_file_of_that_name_is_refused(http, db, uploads):
    key = {"Idempotency-Key": "k1"}
    post(http, wait="wait=0", headers=key)
    other = post(http, wait="wait=0", headers=key, content=b"other music")
    assert problem_of(other, 422) == "idempotency_key_reused"
    assert len(list(uploads.iterdir())) == 1


def test_a_commit_that_was_not_confirmed_keeps_the_file_of_its_job(http, db, uploads, monkeypatch):
    @contextmanager
    def unconfirmed(sessions: SessionFactory) -> Iterator[Session]:
        with transaction(sessions) as session:
            yield session
        raise OperationalError("COMMIT", {}, Exception("server closed the connection unexpectedly"))

    monkeypatch.setattr("api.uploads.transaction", unconfirmed)
    assert problem_of(post(http, headers={"Idempotency-Key": "k1"}), 503) == "unavailable"
    with db() as session:
        job_id = session.scalars(select(Job.id)).one()
    assert [file.name for file in uploads.iterdir()] == [str(job_id)]
    # what is sent again is answered with that job, and is not needed
    assert problem_of(post(http, headers={"Idempotency-Key": "k1"}), 503) == "unavailable"
    assert [file.name for file in uploads.iterdir()] == [str(job_id)]


def test_a_refused_request_leaves_no_file_behind(http, db, uploads):
    assert problem_of(post(http, data={"model": "nope"}), 404) == "model_not_found"
    assert problem_of(post(http, data={"model": "n\0"}), 422) == "invalid"
    assert problem_of(post(http, data={"model": "n" * 300}), 422) == "invalid"
    assert list(uploads.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\x\\y.mp3", "y.mp3"),
        ("a\x1bb.mp3", "ab.mp3"),
        ("x" * 999, "x" * 255),
    ],
)
def test_a_file_name_is_only_ever_shown(http, db, uploads, name, shown):
    files = {"file": (name, b"music")}
    job = http.post(PREDICT, files=files, headers={"Prefer": "wait=0"}).json()
    assert job["params"]["filename"] == shown
    assert [file.name for file in uploads.iterdir()] == [job["id"]]


def test_a_request_without_a_file_is_explained(http, uploads):
    assert problem_of(http.post(PREDICT), 422) == "invalid"
    assert problem_of(http.post(PREDICT, data={"file": "text"}), 422) == "invalid"
    assert problem_of(http.post(PREDICT, json={"file": "text"}), 422) == "invalid"


def test_a_form_that_is_none_is_refused(http, uploads):
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert problem_of(http.post(PREDICT, content=b"no form at all", headers=headers), 400) == "bad_request"
    many = [("file", (f"{n}.mp3", b"")) for n in range(10_000)]
    assert problem_of(http.post(PREDICT, files=many), 400) == "bad_request"


@pytest.mark.parametrize(
    "write", ["api.uploads.os.fsync", "starlette.formparsers.SpooledTemporaryFile.rollover"]
)
def test_a_full_disk_is_said_plainly(http, db, uploads, monkeypatch, write):
    def no_space(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, no_space)
    response = http.post(PREDICT, files={"file": ("song.mp3", b"a song" * 200_000)})
    assert problem_of(response, 503) == "unavailable"
    assert "No space left" in response.json()["detail"]
    assert list(uploads.iterdir()) == []
    assert _count_jobs(db) == 0


def test_a_predict_job_without_its_prediction_is_an_error_of_the_server(http, db, uploads):
    def forget(session: Session, claim: Claim) -> None:
        label(session, claim)
        session.execute(text("DELETE FROM prediction_labels"))
        session.execute(text("DELETE FROM predictions"))

    with worker(db, forget):
        assert problem_of(post(http), 500) == "job_failed"


def test_a_location_names_the_job(http, db, uploads):
    response = post(http, wait="wait=0")
    assert UUID(response.headers["location"].rpartition("/")[2]) == UUID(response.json()["id"])
