"""The first API key of a server that asks for keys. Whoever can reach the database may have one:

    MFA_DATABASE_URL=postgresql://user:password@host/database python -m api.bootstrap

prints a new key with the scope `admin`, even if others exist. With `--if-none` it prints one only when no
valid key has that scope; `mfa serve` does that for its own database. With `--reset` all others of that scope
are revoked, as one that is lost may have been found; `mfa keys reset` does that.
"""

import sys

from sqlalchemy import ColumnElement, and_, any_, func, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from core.scopes import Scope
from core.settings import get_settings
from core.store.api_keys import create_api_key
from core.store.session import create_database_engine, create_session_factory, transaction
from core.store.tables import ApiKey

IF_NONE = "--if-none"
RESET = "--reset"


def create_admin_key(session: Session) -> str:
    """A new key with the scope `admin`."""
    return create_api_key(session, "bootstrap", Scope.ADMIN)[1]


def has_admin_key(session: Session) -> bool:
    """Whether there is a valid one."""
    return session.scalar(select(select(ApiKey.id).where(_is_valid_admin_key()).exists())) or False


def reset_admin_keys(session: Session) -> str:
    """Revoke all keys with the scope `admin`; returns a new one."""
    session.execute(update(ApiKey).where(_is_valid_admin_key()).values(revoked_at=func.now()))
    return create_admin_key(session)


def _is_valid_admin_key() -> ColumnElement[bool]:
    return and_(
        any_(ApiKey.scopes) == str(Scope.ADMIN),
        ApiKey.revoked_at.is_(None),
        or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now()),
    )


def main() -> None:
    arguments = sys.argv[1:]
    if arguments not in ([], [IF_NONE], [RESET]):
        raise SystemExit(f"Usage: python -m api.bootstrap [{IF_NONE} | {RESET}]")
    url = get_settings().database_url
    if not url:
        raise SystemExit(
            "MFA_DATABASE_URL is not set: it names the database of the server. "
            "`mfa serve` makes the first key of the embedded one."
        )
    make = reset_admin_keys if arguments == [RESET] else create_admin_key
    engine = create_database_engine(url, pool_size=1)
    try:
        with transaction(create_session_factory(engine)) as session:
            is_needed = arguments != [IF_NONE] or not has_admin_key(session)
            key = f"{make(session)}\n" if is_needed else ""
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).splitlines()[0]
        raise SystemExit(f"The database cannot be used: {reason}") from None
    finally:
        engine.dispose()
    sys.stdout.write(key)


if __name__ == "__main__":
    main()
