"""What the gateway's log tells of a request."""

import logging
from typing import Any

import pytest

from tests.integration.api.gateway import bearer
from tests.support.builders import make_library, make_model
from tests.support.worker import until


def logged(caplog: pytest.LogCaptureFixture, count: int) -> list[Any]:
    """The lines of so many requests; the last one is written after its answer, so the level must last."""

    def found() -> list[Any]:
        return [record for record in caplog.records if record.name == "api.requests"]

    until(lambda: len(found()) >= count)
    return found()


def test_a_change_is_logged_with_the_ids_of_request_and_job(http, db, music, caplog):
    with db.begin() as session:
        make_library(session, name="music", path=str(music))
        make_model(session)
    with caplog.at_level(logging.INFO):
        job = {"kind": "analysis", "params": {"library": "music"}}
        submitted = http.post("/api/v1/jobs", json=job)
        http.get(submitted.headers["location"])
        cancelled = http.post(f"{submitted.headers['location']}/cancel")
        submit, cancel = logged(caplog, 2)  # and no line for the poll
    assert submit.job == cancel.job == submitted.json()["id"]
    assert submit.request == submitted.headers["x-request-id"]
    assert cancel.getMessage().startswith(
        f"POST /api/v1/jobs/{cancel.job}/cancel: {cancelled.status_code} in "
    )


def test_neither_keys_nor_breaks_get_into_a_line(keyed_http, caplog):
    key = "mfa_01234567_" + "k" * 43
    with caplog.at_level(logging.DEBUG):
        keyed_http.post("/api/v1/jobs%0aforged", headers=bearer(key))
        keyed_http.post("/api/v1/jobs", headers=bearer(key), json={})
        lines = logged(caplog, 2)
    assert [line.getMessage().split(" in ")[0] for line in lines] == [
        "POST /api/v1/jobs%0Aforged: 404",
        "POST /api/v1/jobs: 401",
    ]
    assert key not in caplog.text
