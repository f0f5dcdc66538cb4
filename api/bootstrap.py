"""The first API key of a server that asks for keys: `python -m api.bootstrap`, with MFA_DATABASE_URL set."""

import sys

from sqlalchemy.exc import SQLAlchemyError

from core.db.session import create_database_engine, create_session_factory, transaction
from core.services.api_keys import Scope, create_api_key
from core.settings import get_settings


def create_admin_key(database_url: str) -> str:
    """A new key with the scope `admin`."""
    engine = create_database_engine(database_url, pool_size=1)
    try:
        with transaction(create_session_factory(engine)) as session:
            return create_api_key(session, "bootstrap", Scope.ADMIN)[1]
    finally:
        engine.dispose()


def main() -> None:
    url = get_settings().database_url
    if not url:
        raise SystemExit("MFA_DATABASE_URL is not set: it names the database of the server.")
    try:
        key = create_admin_key(url)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).splitlines()[0]
        raise SystemExit(f"The database cannot be used: {reason}") from None
    sys.stdout.write(f"{key}\n")


if __name__ == "__main__":
    main()
