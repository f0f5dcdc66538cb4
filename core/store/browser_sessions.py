"""Sessions of browsers, which cannot send an API key with pictures, audio and event streams.

A session is begun with a key and may do what the key may, for as long as the key is valid. Its token has 32
random bytes and is stored as a digest.
"""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from core.store.api_keys import is_usable
from core.store.tables import ApiKey, BrowserSession

LIFETIME = timedelta(days=30)


def begin_browser_session(session: Session, key: ApiKey) -> tuple[BrowserSession, str]:
    """A new session of a valid key; returns it with its token, which is not stored."""
    token = secrets.token_urlsafe(32)
    end = datetime.now(UTC) + LIFETIME
    row = BrowserSession(
        digest=_digest(token), key_id=key.id, expires_at=min(end, key.expires_at) if key.expires_at else end
    )
    session.add(row)
    session.flush()
    return row, token


def find_key_of_session(session: Session, token: str) -> ApiKey | None:
    """The valid key of the session with this token, or None if there is none or it has ended."""
    key = session.scalars(
        select(ApiKey)
        .join(BrowserSession, BrowserSession.key_id == ApiKey.id)
        .where(BrowserSession.digest == _digest(token), BrowserSession.expires_at > func.now())
    ).one_or_none()
    return key if key is not None and is_usable(key) else None


def end_browser_session(session: Session, token: str) -> None:
    """End the session with this token, if there is one."""
    session.execute(delete(BrowserSession).where(BrowserSession.digest == _digest(token)))


def delete_expired_sessions(session: Session) -> int:
    """Remove the sessions whose time is up; how many there were."""
    expired = delete(BrowserSession).where(BrowserSession.expires_at <= func.now())
    return len(session.scalars(expired.returning(BrowserSession.id)).all())


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
