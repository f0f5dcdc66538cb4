"""API keys over HTTP."""

from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from api.bootstrap import create_admin_key
from core.store.session import SessionFactory
from tests.integration.api.gateway import bearer, problem_of
from tests.support.builders import make_api_key

KEYS = "/api/v1/keys"


@pytest.fixture
def admin(keyed_http: httpx.Client, db: SessionFactory) -> httpx.Client:
    """A client with the first key of the server."""
    with db.begin() as session:
        keyed_http.headers.update(bearer(create_admin_key(session)))
    return keyed_http


def test_a_new_key_is_shown_once_and_works_at_once(admin, db):
    created = admin.post(KEYS, json={"name": "player", "scope": "read", "expires_in_days": 30})
    assert created.status_code == 201
    key = created.json()
    assert key["scopes"] == ["read"]
    assert key["expires_at"] is not None
    assert admin.get("/api/v1/jobs", headers=bearer(key["key"])).status_code == 200
    listed = admin.get(KEYS)
    assert [row["name"] for row in listed.json()["items"]] == ["bootstrap", "player"]
    assert key["key"] not in listed.text
    with db() as session:
        dump = session.scalars(text("SELECT api_keys::text FROM api_keys")).all()
    assert key["key"].rpartition("_")[2] not in "".join(dump)


def test_a_revoked_key_is_refused_from_then_on(admin, db):
    with db.begin() as session:
        key, secret = make_api_key(session)
    assert admin.get("/api/v1/jobs", headers=bearer(secret)).status_code == 200
    revoked = admin.delete(f"{KEYS}/{key.id}")
    assert revoked.status_code == 200
    assert revoked.json()["revoked_at"] is not None
    assert problem_of(admin.get("/api/v1/jobs", headers=bearer(secret)), 401) == "unauthenticated"


def test_wrong_requests_are_explained(admin):
    assert problem_of(admin.delete(f"{KEYS}/{uuid4()}"), 404) == "api_key_not_found"
    for body in ({}, {"name": "x", "scope": "root"}, {"name": "x", "scope": "read", "expires_in_days": 0}):
        assert problem_of(admin.post(KEYS, json=body), 422) == "invalid"
