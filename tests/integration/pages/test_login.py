"""Sessions: from a key to a cookie, what it may do, how it ends, and what other sites cannot do with it."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import func, select

from core.store.browser_sessions import delete_expired_sessions
from core.store.tables import ApiKey, BrowserSession
from tests.integration.api.gateway import bearer, problem_of
from tests.support.builders import make_api_key, make_job

HTML = {"Accept": "text/html"}
OWN = {"Sec-Fetch-Site": "same-origin"}
JOBS = "/api/v1/jobs"
SESSION = "/api/v1/session"


def log_in(http: httpx.Client, db, scope="write", **changes) -> ApiKey:
    """Begin a session, whose cookie the client keeps."""
    with db.begin() as session:
        key, secret = make_api_key(session, scope, **changes)
    answer = http.post(SESSION, json={"key": secret})
    assert answer.status_code == 201, answer.text
    return key


def test_a_key_is_changed_for_a_cookie_that_scripts_and_other_sites_cannot_use(keyed_http, db):
    with db.begin() as session:
        _, secret = make_api_key(session)
    answer = keyed_http.post(SESSION, json={"key": secret}, headers={"X-Forwarded-Proto": "https"})
    assert answer.json()["scopes"] == ["read", "write"]
    attributes = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "samesite=strict", "secure", "path=/"} <= attributes
    assert secret not in answer.headers["set-cookie"]
    plain = keyed_http.post(SESSION, json={"key": secret})
    assert "secure" not in plain.headers["set-cookie"].lower()
    assert keyed_http.get(JOBS).status_code == 200
    with db() as session:
        token = plain.cookies["mfa_session"].encode()
        assert token not in session.scalars(select(BrowserSession.digest)).all()


def test_a_session_has_the_scopes_of_its_key_and_sees_its_jobs(keyed_http, db):
    key = log_in(keyed_http, db, "read")
    with db.begin() as session:
        own = make_job(session, owner=str(key.id))
        make_job(session, owner="somebody")
    assert [job["id"] for job in keyed_http.get(JOBS).json()["items"]] == [str(own.id)]
    assert problem_of(keyed_http.post(f"{JOBS}/{own.id}/cancel", headers=OWN), 403) == "forbidden"


@pytest.mark.parametrize("change", ["revoked", "expired", "ended", "logged out"])
def test_a_session_ends(keyed_http, db, change):
    with db.begin() as session:
        _, admin = make_api_key(session, "admin")
    key = log_in(keyed_http, db)
    cookie = keyed_http.cookies["mfa_session"]
    with db.begin() as session:
        if change == "expired":
            session.get_one(ApiKey, key.id).expires_at = datetime(2020, 1, 1, tzinfo=UTC)
        if change == "ended":
            session.scalars(select(BrowserSession)).one().expires_at = datetime(2020, 1, 1, tzinfo=UTC)
    if change == "revoked":
        keyed_http.delete(f"/api/v1/keys/{key.id}", headers=bearer(admin))
    if change == "logged out":
        assert keyed_http.delete(SESSION, headers=OWN).status_code == 204
        assert "mfa_session" not in keyed_http.cookies
    keyed_http.cookies.clear()
    refused = keyed_http.get(JOBS, headers={"Cookie": f"mfa_session={cookie}"})
    assert problem_of(refused, 401) == "unauthenticated"
    assert "log in again" in refused.json()["detail"]


def test_a_session_ends_with_a_key_that_expires_and_is_then_removed(keyed_http, db):
    soon = datetime.now(UTC) + timedelta(days=1)
    log_in(keyed_http, db, expires_at=soon)
    with db.begin() as session:
        row = session.scalars(select(BrowserSession)).one()
        assert row.expires_at == soon
        assert delete_expired_sessions(session) == 0
        row.expires_at = datetime.now(UTC) - timedelta(seconds=1)
        session.flush()
        assert delete_expired_sessions(session) == 1
        assert session.scalar(select(func.count()).select_from(BrowserSession)) == 0


@pytest.mark.parametrize(
    ("headers", "is_refused"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "same-site"}, True),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://music.example"}, True),
        ({"Origin": "http://music.example"}, False),
        ({"Origin": "http://evil.example"}, True),
        ({"Origin": "http://music.example:81"}, True),
        ({"Origin": "null"}, True),
        ({"Origin": "http://public.example", "X-Forwarded-Host": "public.example"}, False),
        ({}, True),
    ],
)
def test_writes_with_a_session_come_from_a_page_of_this_server(keyed_http, db, headers, is_refused):
    key = log_in(keyed_http, db)
    with db.begin() as session:
        job = make_job(session, owner=str(key.id))
    answer = keyed_http.post(f"{JOBS}/{job.id}/cancel", headers={"Host": "music.example"} | headers)
    assert answer.status_code == (403 if is_refused else 202)
    assert keyed_http.get(JOBS, headers={"Host": "music.example"} | headers).status_code == 200


def test_a_key_needs_no_origin_and_outranks_a_cookie(keyed_http, db):
    log_in(keyed_http, db, "read")
    with db.begin() as session:
        key, secret = make_api_key(session)
        job = make_job(session, owner=str(key.id))
    headers = bearer(secret) | {"Sec-Fetch-Site": "cross-site"}
    assert keyed_http.post(f"{JOBS}/{job.id}/cancel", headers=headers).status_code == 202
    assert keyed_http.get(JOBS, headers=bearer("mfa_x_y")).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 202),
        ({"Sec-Fetch-Site": "same-origin"}, 202),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"}, 403),
        ({"Origin": "http://localhost:3000"}, 403),
    ],
)
def test_without_keys_another_page_of_this_machine_cannot_write(http, db, headers, status):
    with db.begin() as session:
        job = make_job(session)
    assert http.post(f"{JOBS}/{job.id}/cancel", headers=headers).status_code == status


def test_a_page_leads_to_the_login_and_back(keyed_http, db):
    with db.begin() as session:
        _, secret = make_api_key(session, "read")
    asked = keyed_http.get("/jobs?state=failed", headers=HTML)
    assert (asked.status_code, asked.headers["location"]) == (303, "./login?next=jobs%3Fstate%3Dfailed")
    form = keyed_http.get("/login?next=jobs%3Fstate%3Dfailed", headers=HTML)
    assert 'value="jobs?state=failed"' in form.text
    wrong = keyed_http.post("/login", data={"key": "mfa_no", "next": "jobs"}, headers=HTML | OWN)
    assert wrong.status_code == 401
    assert "This API key is not valid" in wrong.text
    sent = {"key": f" {secret} ", "next": "jobs?state=failed"}
    answer = keyed_http.post("/login", data=sent, headers=HTML | OWN)
    assert (answer.status_code, answer.headers["location"]) == (303, "./jobs?state=failed")
    page = keyed_http.get("/jobs", headers=HTML)
    assert page.status_code == 200
    assert "Log out" in page.text
    assert keyed_http.post("/logout", headers=HTML | OWN).headers["location"] == "./login"
    assert keyed_http.get("/jobs", headers=HTML).status_code == 303


@pytest.mark.parametrize("address", ["//evil.example", "https://evil.example", "\\\\evil.example"])
def test_the_login_never_leads_to_another_site(keyed_http, db, address):
    with db.begin() as session:
        _, secret = make_api_key(session)
    answer = keyed_http.post("/login", data={"key": secret, "next": address}, headers=OWN)
    assert answer.headers["location"] == "./"


def test_a_page_of_another_site_cannot_log_a_browser_in(keyed_http, db):
    with db.begin() as session:
        _, secret = make_api_key(session)
    for path, sent in (("/login", {"data": {"key": secret}}), (SESSION, {"json": {"key": secret}})):
        answer = keyed_http.post(path, headers={"Sec-Fetch-Site": "cross-site"}, **sent)
        assert problem_of(answer, 403) == "forbidden"


def test_without_keys_there_is_nothing_to_log_in_to(http):
    assert problem_of(http.post(SESSION, json={"key": "x"}), 409) == "session_not_needed"
    assert http.get("/login?next=jobs", headers=HTML).headers["location"] == "./jobs"
    assert "Log out" not in http.get("/", headers=HTML).text


def test_a_wrong_key_begins_no_session(keyed_http):
    assert problem_of(keyed_http.post(SESSION, json={"key": "mfa_a_b"}), 401) == "unauthenticated"
