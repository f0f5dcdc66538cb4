"""The first API key of a server that asks for keys. Whoever can reach the database may have one:

    MFA_DATABASE_URL=postgresql://user:password@host/database python -m api.bootstrap

prints a new key with the scope `admin`, even if others exist, in case they are lost. With
`--if-none` it prints one only when no valid key has that scope. `mfa serve` does that for its own database.
"""

import sys

from sqlalchemy import any_, func, or_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from core.scopes import Scope
from core.settings import get_settings
from core.store.api_keys import create_api_key
from core.store.session import create_database_engine, create_session_factory, transaction
from core.store.tables import ApiKey

IF_NONE = "--if-none"


def create_admin_key(session: Session) -> str:
    """A new key with the scope `admin`."""
    return create_api_key(session, "bootstrap", Scope.ADMIN)[1]


def has_admin_key(session: Session) -> bool:
    """Whether there is a valid one."""
    valid = select(ApiKey.id).where(
        any_(ApiKey.scopes) == str(Scope.ADMIN),
        ApiKey.revoked_at.is_(None),
        or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now()),
    )
    return session.scalar(select(valid.exists())) or False


def main() -> None:
    arguments = sys.argv[1:]
    if arguments not in ([], [IF_NONE]):
        raise SystemExit(f"Usage: python -m api.bootstrap [{IF_NONE}]")
    url = get_settings().database_url
    if not url:
        raise SystemExit(
            "MFA_DATABASE_URL is not set: it names the database of the server. "
            "`mfa serve` makes the first key of the embedded one."
        )
    if_none = arguments == [IF_NONE]
    engine = create_database_engine(url, pool_size=1)
    try:
        with transaction(create_session_factory(engine)) as session:
            key = "" if if_none and has_admin_key(session) else f"{create_admin_key(session)}\n"
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).splitlines()[0]
        raise SystemExit(f"The database cannot be used: {reason}") from None
    finally:
        engine.dispose()
    sys.stdout.write(key)


if __name__ == "__main__":
    main()
