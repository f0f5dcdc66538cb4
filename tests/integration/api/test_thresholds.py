"""Requests to tune the thresholds of a model: a kind of job of their own, also when asked for as tuning."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from api.routes import API
from core.services.thresholds import VALIDATION_FILE
from core.states import JobState
from tests.integration.api.gateway import problem_of
from tests.support.builders import make_job, make_model

JOBS = f"{API}/jobs"
PARAMS = {"model": "mine", "beta": 2.0, "min_precision": None}
FORMS: tuple[dict[str, Any], ...] = (
    {"kind": "thresholds", "params": PARAMS},
    {"kind": "tuning", "params": {"thresholds": PARAMS}},
)
each_form = pytest.mark.parametrize("body", FORMS, ids=["direct", "as tuning"])


@pytest.fixture(autouse=True)
def _trained_model(db, tmp_path: Path) -> None:
    (tmp_path / VALIDATION_FILE).touch()
    with db.begin() as session:
        make_model(session, alias=None, name="mine", artifact_url=tmp_path.as_uri())


@each_form
def test_a_job_of_its_own_kind_is_made(http, body):
    response = http.post(JOBS, json=body, headers={"Idempotency-Key": "once"})
    job = response.json()
    assert (response.status_code, job["kind"], job["params"]) == (
        202,
        "thresholds",
        PARAMS | {"force": False},
    )
    assert (job["state"], job["progress"]["total"]) == ("queued", 1)
    again = http.post(JOBS, json=body, headers={"Idempotency-Key": "once"})
    assert (again.json()["id"], again.headers["Idempotent-Replayed"]) == (job["id"], "true")
    forced = {"kind": "thresholds", "params": PARAMS | {"force": True}}
    assert http.post(JOBS, json=forced, headers={"Idempotency-Key": "once"}).status_code == 422
    (other,) = (form for form in FORMS if form is not body)
    assert http.post(JOBS, json=other, headers={"Idempotency-Key": "once"}).status_code == 422


def test_a_request_from_before_there_was_such_a_kind_is_still_replayed(http, db):
    content = ["tuning", {"thresholds": PARAMS}]
    with db.begin() as session:
        known = make_job(
            session,
            kind="thresholds",
            params=PARAMS,
            idempotency_key="once",
            request_hash=hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest(),
        )
    replayed = http.post(JOBS, json=FORMS[1], headers={"Idempotency-Key": "once"})
    assert replayed.json()["id"] == str(known.id)


def test_it_is_not_retried(http, db):
    with db.begin() as session:
        job = make_job(session, kind="thresholds", params=PARAMS, state=JobState.FAILED)
    assert problem_of(http.post(f"{JOBS}/{job.id}/retry"), 409) == "nothing_to_retry"
