"""API keys, which are shown once and stored as a digest.

A key is `mfa_<8 characters of id>_<32 random bytes>`; with this much entropy SHA-256 suffices, without a slow
password hash.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core.errors import ApiKeyNotFound
from core.scopes import Scope
from core.store.tables import ApiKey, BrowserSession


def create_api_key(
    session: Session, name: str, scope: Scope, expires_in: timedelta | None = None
) -> tuple[ApiKey, str]:
    """Create a key; returns it with its secret, which is not stored."""
    prefix = secrets.token_hex(4)
    secret = f"mfa_{prefix}_{secrets.token_urlsafe(32)}"
    key = ApiKey(
        name=name,
        prefix=prefix,
        digest=_digest(secret),
        scopes=_included(scope),
        expires_at=datetime.now(UTC) + expires_in if expires_in else None,
    )
    session.add(key)
    session.flush()
    return key, secret


def _included(scope: Scope) -> list[str]:
    order = list(Scope)
    return [str(each) for each in order[: order.index(scope) + 1]]


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def find_api_key(session: Session, secret: str) -> ApiKey | None:
    """The valid key with this secret, or None."""
    parts = secret.split("_", 2)
    if len(parts) != 3 or parts[0] != "mfa":
        return None
    key = session.scalars(select(ApiKey).where(ApiKey.prefix == parts[1])).one_or_none()
    if key is None or not hmac.compare_digest(key.digest, _digest(secret)):
        return None
    return key if is_usable(key) else None


def is_valid(session: Session, key_id: UUID) -> bool:
    """Whether a key is still valid."""
    key = session.get(ApiKey, key_id)
    return key is not None and is_usable(key)


def is_usable(key: ApiKey) -> bool:
    """Whether a key has neither expired nor been revoked."""
    expired = key.expires_at is not None and key.expires_at <= datetime.now(UTC)
    return not expired and key.revoked_at is None


def list_api_keys(session: Session) -> Iterable[ApiKey]:
    return session.scalars(select(ApiKey).order_by(ApiKey.created_at)).all()


def revoke_api_key(session: Session, key_id: UUID) -> ApiKey:
    """Refuse a key from now on, and end the sessions that were begun with it."""
    key = session.get(ApiKey, key_id)
    if key is None:
        raise ApiKeyNotFound
    key.revoked_at = key.revoked_at or datetime.now(UTC)
    session.execute(delete(BrowserSession).where(BrowserSession.key_id == key_id))
    return key
