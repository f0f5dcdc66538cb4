"""Callers who ask too often or want too much at a time."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, select, update

from api.main import create_app
from api.security.access import DEFAULT_OPEN_JOBS, DEFAULT_RATE, allowed_open_jobs, allowed_rate
from core.settings import Settings
from core.states import JobState
from core.store.session import SessionFactory
from core.store.tables import Job
from tests.integration.api.gateway import bearer, problem_of, running
from tests.integration.api.test_studies import finish
from tests.support.builders import make_api_key, make_finished_job, make_library, make_model, make_track

JOBS = "/api/v1/jobs"
ANALYSIS = {"kind": "analysis", "params": {"library": "home"}}
EXPERIMENT = {
    "experiment_name": "mine",
    "dataset": {"kind": "library", "library": "home"},
    "model": {"kind": "transfer", "head": "linear"},
}
STUDY = {
    "study_name": "mine",
    "experiment": EXPERIMENT,
    "space": {"training.lr": {"kind": "float", "low": 0.001, "high": 0.1}},
}
Start = Callable[..., httpx.Client]


@pytest.fixture
def start(open_settings: Settings, db: SessionFactory) -> Iterator[Start]:
    """Starts a gateway that asks for keys, with other settings than usual."""
    with ExitStack() as stack:

        def make(**changes: object) -> httpx.Client:
            settings = open_settings.model_copy(update={"require_api_keys": True} | changes)
            url = stack.enter_context(running(create_app(settings)))
            return stack.enter_context(httpx.Client(base_url=url, timeout=20, trust_env=False))

        yield make


@pytest.fixture
def home(db: SessionFactory, music) -> None:
    with db.begin() as session:
        make_library(session, name="home", path=str(music))
        make_model(session, artifact_url="file:///models/musicnn-msd-1")


def key_of(db: SessionFactory, scope: str = "write") -> dict[str, str]:
    with db.begin() as session:
        return bearer(make_api_key(session, scope)[1])


def statuses(http: httpx.Client, count: int, headers: dict[str, str]) -> list[int]:
    return [http.get(JOBS, headers=headers).status_code for _ in range(count)]


@pytest.mark.parametrize(
    ("changes", "rate", "jobs"),
    [
        ({}, 0, 0),
        ({"require_api_keys": True}, DEFAULT_RATE, DEFAULT_OPEN_JOBS),
        ({"host": "0.0.0.0"}, DEFAULT_RATE, DEFAULT_OPEN_JOBS),
        ({"max_requests_per_s": 3, "max_open_jobs": 2}, 3, 2),
        ({"require_api_keys": True, "max_requests_per_s": 0, "max_open_jobs": 0}, 0, 0),
    ],
)
def test_limits_hold_where_keys_are_needed_unless_something_else_is_said(open_settings, changes, rate, jobs):
    settings = open_settings.model_copy(update=changes)
    assert (allowed_rate(settings), allowed_open_jobs(settings)) == (rate, jobs)


def test_a_key_that_asks_too_often_is_told_when_to_come_back_and_others_are_not_in_its_way(start, db):
    http = start(max_requests_per_s=0.5)
    greedy, modest = key_of(db), key_of(db)
    for key in (greedy, modest):
        assert http.get(JOBS, headers=key).status_code == 200  # from now on the key has a bucket of its own
    assert statuses(http, 8, greedy)[:5] == [200] * 5
    refused = http.get(JOBS, headers=greedy)
    assert problem_of(refused, 429) == "too_many_requests"
    assert 1 <= int(refused.headers["retry-after"]) <= 2
    assert refused.headers["x-request-id"]
    assert http.get(JOBS, headers=modest).status_code == 200
    assert http.get("/healthz", headers=greedy).status_code == 200


def test_wrong_keys_are_counted_together_and_a_right_one_still_works(start, db):
    http = start(max_requests_per_s=0.5)
    right = key_of(db)
    assert http.get(JOBS, headers=right).status_code == 200
    tried = [http.get(JOBS, headers=bearer(f"mfa_{n:08}_guess")).status_code for n in range(8)]
    assert tried[:4] == [401] * 4
    assert tried[-1] == 429
    assert http.get("/docs").status_code == 429
    assert http.get(JOBS, headers=right).status_code == 200


def test_another_spelling_of_the_header_is_no_other_bucket(start, db):
    http = start(max_requests_per_s=0.2)  # a burst of two, also for the address
    secret = key_of(db)["Authorization"].removeprefix("Bearer ")
    assert statuses(http, 3, bearer(secret)) == [200] * 3
    for spelling in ("Bearer {}", "Bearer  {}", "bEARER {}", "BEARER   {}", "Bearer \t{}", "Bearer \t {}"):
        answer = http.get(JOBS, headers={"Authorization": spelling.format(secret)})
        assert problem_of(answer, 429) == "too_many_requests"


def test_an_upload_is_refused_before_it_is_read_and_the_answer_arrives(start, db, open_settings):
    http = start(max_requests_per_s=0.1)
    key = key_of(db)
    assert {http.get(JOBS, headers=key).status_code for _ in range(2)} == {200}
    upload = http.post("/api/v1/analysis/predict", files={"file": b"x" * 1_500_000}, headers=key)
    assert problem_of(upload, 429) == "too_many_requests"
    assert int(upload.headers["retry-after"]) <= 10


def test_a_key_has_so_many_open_jobs_and_no_more(start, db, home):
    http = start(max_open_jobs=2)
    key, other = key_of(db), key_of(db)
    made = [
        http.post(JOBS, json=ANALYSIS, headers=key | {"Idempotency-Key": str(number)}) for number in range(2)
    ]
    assert [response.status_code for response in made] == [202, 202]
    third = http.post(JOBS, json=ANALYSIS, headers=key)
    assert problem_of(third, 429) == "too_many_jobs"
    assert int(third.headers["retry-after"]) > 0
    again = http.post(JOBS, json=ANALYSIS, headers=key | {"Idempotency-Key": "0"})
    assert again.json()["id"] == made[0].json()["id"]
    assert http.post(JOBS, json=ANALYSIS, headers=other).status_code == 202
    with db.begin() as session:
        ended = update(Job).where(Job.id == UUID(made[0].json()["id"]))
        for state in (JobState.RUNNING, JobState.SUCCEEDED):
            session.execute(ended.values(state=state))
        assert session.scalar(select(func.count()).select_from(Job)) == 3
    assert http.post(JOBS, json=ANALYSIS, headers=key).status_code == 202


def test_every_way_to_a_job_counts_and_leaves_nothing_behind(start, db, home, open_settings):
    http, study = start(max_open_jobs=1), {"kind": "tuning", "params": {"study": STUDY}}
    with db.begin() as session:
        owner, secret = make_api_key(session)
    key = bearer(secret)
    submitted = http.post(JOBS, json=study, headers=key).json()["id"]
    finish(db, submitted)
    with db.begin() as session:
        library, model = make_library(session), make_model(session, name="other", alias=None)
        ended = make_finished_job(session, library, model, [], [make_track(session, library)])
        ended.owner = str(owner.id)
    assert http.post(JOBS, json=ANALYSIS, headers=key).status_code == 202
    before = set(open_settings.uploads_dir.glob("*"))
    training = {"kind": "training", "params": {"experiment": EXPERIMENT}}
    ways = [
        http.post("/api/v1/analysis/predict", files={"file": b"x"}, headers=key),
        http.post(f"{JOBS}/{ended.id}/retry", headers=key),
        *(http.post(JOBS, json=body, headers=key) for body in (training, study)),
        http.post(f"/api/v1/studies/{submitted}/resume", json={"n_trials": 1}, headers=key),
        http.post(f"/api/v1/studies/{submitted}/train-best", headers=key),
    ]
    assert [problem_of(response, 429) for response in ways] == ["too_many_jobs"] * len(ways)
    assert set(open_settings.uploads_dir.glob("*")) == before
    with db() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 3


def test_a_key_with_too_many_open_jobs_cannot_make_the_server_read_an_upload(start, db, home, monkeypatch):
    http, key = start(max_open_jobs=1), key_of(db)
    known = key | {"Idempotency-Key": "k1", "Prefer": "wait=0"}
    predict, upload = "/api/v1/analysis/predict", {"file": ("a.mp3", b"x")}
    first = http.post(predict, files=upload, headers=known)
    again = http.post(predict, files=upload, headers=known)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    monkeypatch.setattr("api.routes.analysis.received_form", None)
    for number in ({}, {"Idempotency-Key": "k2"}):
        assert problem_of(http.post(predict, files=upload, headers=key | number), 429) == "too_many_jobs"


def test_twenty_submissions_at_once_do_not_slip_past_the_limit(start, db, home):
    http = start(max_open_jobs=3)
    key = key_of(db)
    found: list[int] = []

    def submit() -> None:
        found.append(http.post(JOBS, json=ANALYSIS, headers=key).status_code)

    threads = [threading.Thread(target=submit) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [202] * 3 + [429] * 17
