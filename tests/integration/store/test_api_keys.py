"""API keys: shown once, kept as a digest, good until they expire or are revoked."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import inspect, text

from core.errors import ApiKeyNotFound
from core.scopes import Scope
from core.store.api_keys import create_api_key, find_api_key, list_api_keys, revoke_api_key


def test_a_key_is_found_by_its_secret_and_by_nothing_else(session):
    key, secret = create_api_key(session, "laptop", Scope.WRITE)
    create_api_key(session, "phone", Scope.READ)
    assert find_api_key(session, secret) is key
    prefix = secret[: len("mfa_12345678_")]
    for wrong in [
        "",
        "mfa_",
        prefix,
        secret[:-1],
        secret + "x",
        prefix + "x" * 43,
        secret.replace("mfa", "abc"),
    ]:
        assert find_api_key(session, wrong) is None


def test_the_secret_itself_is_stored_nowhere(session):
    _, secret = create_api_key(session, "laptop", Scope.ADMIN)
    random_part = secret.split("_", 2)[2]
    row = session.execute(text("SELECT api_keys::text FROM api_keys")).scalar_one()
    assert random_part not in row
    assert random_part.encode().hex() not in row
    assert {column["name"] for column in inspect(session.connection()).get_columns("api_keys")} == {
        "id",
        "name",
        "prefix",
        "digest",
        "scopes",
        "created_at",
        "expires_at",
        "revoked_at",
    }


def test_secrets_that_contain_the_separator_work(session):
    for _ in range(100):
        key, secret = create_api_key(session, "laptop", Scope.READ)
        assert find_api_key(session, secret) is key


@pytest.mark.parametrize(
    ("scope", "included"),
    [
        (Scope.READ, ["read"]),
        (Scope.WRITE, ["read", "write"]),
        (Scope.ADMIN, ["read", "write", "admin"]),
    ],
)
def test_a_scope_includes_the_smaller_ones(session, scope, included):
    assert create_api_key(session, "laptop", scope)[0].scopes == included


def test_an_expired_key_is_refused(session):
    key, secret = create_api_key(session, "laptop", Scope.READ, timedelta(hours=1))
    assert find_api_key(session, secret) is key
    key.expires_at = datetime.now(UTC) - timedelta(seconds=1)
    session.flush()
    assert find_api_key(session, secret) is None


def test_a_revoked_key_is_refused_from_then_on_and_stays_in_the_list(session):
    key, secret = create_api_key(session, "laptop", Scope.READ)
    revoked_at = revoke_api_key(session, key.id).revoked_at
    assert find_api_key(session, secret) is None
    assert revoke_api_key(session, key.id).revoked_at == revoked_at
    assert list(list_api_keys(session)) == [key]
    with pytest.raises(ApiKeyNotFound):
        revoke_api_key(session, uuid4())
