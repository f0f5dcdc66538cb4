"""Every error is a problem, whoever raised it, and says nothing about the inside."""

import base64
import json

import httpx
import pytest

from tests.integration.api.gateway import problem_of
from tests.support.builders import make_job, make_model


def test_what_the_router_refuses_is_a_problem_too(http):
    assert problem_of(http.get("/api/v1/nothing"), 404) == "not_found"
    response = http.put("/api/v1/jobs")
    assert problem_of(response, 405) == "method_not_allowed"
    assert response.headers["allow"] == "POST"  # of the first route with that path


@pytest.mark.parametrize("body", [b"{", b"", b"nonsense"])
def test_a_body_that_is_no_json_is_explained(http, body):
    response = http.post("/api/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert problem_of(response, 422) == "invalid"
    assert response.json()["errors"][0]["location"].startswith("body")


@pytest.mark.parametrize("body", [b"\xff", b"[" * 100_000, b'{"a":' * 50_000])
def test_a_body_that_no_parser_reads_is_refused(http, body):
    response = http.post("/api/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert problem_of(response, 400) == "bad_request"


@pytest.mark.parametrize(
    ("value", "status", "code"),
    [
        (b"[" * 900 + b"]" * 900, 422, "invalid"),
        (b"9" * 5000, 400, "bad_request"),  # more digits than Python reads
        (b"9" * 20, 422, "invalid"),
        (b"1e999", 422, "invalid"),
        (b"NaN", 422, "invalid"),
        (b"-Infinity", 422, "invalid"),
        (b'"\\ud800"', 422, "invalid"),
    ],
)
def test_extreme_values_are_wrong_values(http, value, status, code):
    body = b'{"version": ' + value + b"}"
    headers = {"Content-Type": "application/json"}
    response = http.post("/api/v1/models/x/promote", content=body, headers=headers)
    assert problem_of(response, status) == code


def test_an_error_that_nobody_foresaw_shows_nothing_of_the_inside(http, monkeypatch, caplog):
    def explode(*_: object, **__: object) -> None:
        raise RuntimeError("the secret of the inside")

    monkeypatch.setattr("core.jobs.jobs.list_jobs", explode)
    response = http.get("/api/v1/jobs")
    assert problem_of(response, 500) == "internal"
    assert "secret" not in response.text
    assert response.headers["x-request-id"] in caplog.text
    assert "the secret of the inside" in caplog.text


def test_every_response_names_its_request(http):
    ids = {http.get(path).headers["x-request-id"] for path in ("/healthz", "/nothing", "/api/v1/jobs")}
    assert len(ids) == 3


def test_a_wrong_value_is_not_sent_back(http):
    response = http.get("/api/v1/jobs", params={"limit": "hunter2"})
    assert problem_of(response, 422) == "invalid"
    assert "hunter2" not in response.text
    assert response.json()["errors"] == [
        {
            "location": "query.limit",
            "code": "int_parsing",
            "detail": "Input should be a valid integer, unable to parse string as an integer.",
        }
    ]


LABELS = "/api/v1/tracks/0b9a6c1e-6f0f-4b7e-9a53-0d5d1f9f2a11/labels"


@pytest.mark.parametrize(
    ("method", "path", "body", "location", "detail"),
    [
        (
            "GET",
            "/api/v1/tracks?sort=scor",
            None,
            "query.sort",
            "One of `score`, `path`, `date` and `duration` is expected; did you mean `score`?",
        ),
        (
            "PUT",
            LABELS,
            {"labels": {"jazz": "maybe"}},
            "body.labels.jazz",
            "One of `yes`, `no` and `unsure` is expected.",
        ),
        (
            "POST",
            "/api/v1/jobs",
            {"kind": "tunning"},
            "body.kind",
            "One of `analysis`, `training`, `tuning`, `thresholds`, `preview` and `map` is expected; "
            "did you mean `tuning`?",
        ),
        ("POST", "/api/v1/jobs", {"params": {}}, "body.kind", "It is missing."),
        (
            "POST",
            "/api/v1/jobs",
            {"kind": "analysis", "params": {"library": "home", "coverage": "half"}},
            "body.params.coverage",
            "`full` is expected. Or: A JSON object is expected.",
        ),
        ("PUT", LABELS, {"labels": {" ": "yes"}}, "body.labels. ", "A label needs a visible character."),
        ("POST", "/api/v1/libraries", [], "body", "A JSON object is expected."),
    ],
)
def test_a_wrong_field_is_named_where_it_was_written_and_explained(
    http, method, path, body, location, detail
):
    response = http.request(method, path, json=body) if body is not None else http.get(path)
    assert problem_of(response, 422) == "invalid"
    problem = response.json()
    assert [(each["location"], each["detail"]) for each in problem["errors"]] == [(location, detail)]
    assert problem["detail"] == f"The request is not valid: {location}: {detail}"


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_that_is_not_declared_as_json_is_told_how(http, kind):
    headers = {"Content-Type": kind} if kind else {}
    response = http.post("/api/v1/libraries", content=b'{"name": "music"}', headers=headers)
    assert problem_of(response, 422) == "invalid"
    assert [each["code"] for each in response.json()["errors"]] == ["content_type"]
    assert "`Content-Type: application/json`" in response.json()["detail"]


def _cursor(*key: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


CURSORS = [
    "garbage",
    "%%%",
    "é",
    "\0",
    "x" * 1001,
    _cursor(),
    _cursor(None, None),
    _cursor("2026-01-01", "no-uuid"),
    _cursor("today", "0b9a6c1e-6f0f-4b7e-9a53-0d5d1f9f2a11"),
    _cursor(10**30, 1),
    _cursor(1, 10**30),
    _cursor(2**40, 2**40),
    _cursor([1], {"a": 1}),
    _cursor("a\0b", "c"),
]


@pytest.mark.parametrize("cursor", CURSORS)
def test_a_cursor_that_no_list_gave_out_is_refused(http, db, cursor):
    with db.begin() as session:
        make_model(session)
        job = make_job(session)
    for path in (
        "/api/v1/jobs",
        f"/api/v1/jobs/{job.id}/items",
        "/api/v1/tracks",
        "/api/v1/tracks?genre=rock",
    ):
        response = http.get(path, params=httpx.QueryParams(httpx.URL(path).params).set("cursor", cursor))
        assert problem_of(response, 422) in ("invalid", "invalid_cursor"), path


NUL_REQUESTS = [
    ("GET", "/api/v1/models/a%00b", None),
    ("GET", "/api/v1/tracks?library=a%00b", None),
    ("GET", "/api/v1/tracks?path=a%00b", None),
    ("GET", "/api/v1/tracks?genre=a%00b", None),
    ("GET", "/api/v1/tracks?model=a%00b", None),
    ("GET", "/api/v1/jobs?state=a%00b", None),
    ("GET", "/api/v1/jobs/a%00b", None),
    ("POST", "/api/v1/models/a%00b/promote", {}),
    ("POST", "/api/v1/models/a/promote", {"alias": "a\0b"}),
    ("POST", "/api/v1/libraries", {"name": "a\0b", "path": "/tmp"}),
    ("POST", "/api/v1/libraries", {"name": "a", "path": "/tmp\0"}),
    ("POST", "/api/v1/libraries", {"name": "a", "path": "/tmp", "x\0": 1}),
    ("POST", "/api/v1/keys", {"name": "a\0b", "scope": "read"}),
    ("POST", "/api/v1/keys", {"name": "a\ud800b", "scope": "read"}),
    ("POST", "/api/v1/jobs", {"kind": "analysis", "params": {"library": "a\0b"}}),
    ("POST", "/api/v1/jobs", {"kind": "analysis", "params": {"library": "a", "model": "\0"}}),
    ("POST", "/api/v1/jobs", {"kind": "analysis", "params": {"library": "a", "path": "\udfff"}}),
]


@pytest.mark.parametrize(("method", "path", "body"), NUL_REQUESTS)
def test_text_that_cannot_be_stored_is_refused_everywhere(http, db, method, path, body):
    with db.begin() as session:
        make_model(session)
    content = json.dumps(body).encode() if body is not None else None
    response = http.request(method, path, content=content, headers={"Content-Type": "application/json"})
    assert problem_of(response, 422) == "invalid"
