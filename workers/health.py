"""`python -m workers.health` exits with 0 if a worker or dispatcher of this machine has a recent heartbeat.

For containers, each of which is a machine of its own.
"""

import socket

from sqlalchemy.exc import SQLAlchemyError

from core.jobs.workers import is_alive
from core.settings import get_settings
from core.store.session import create_database_engine, create_session_factory


def main() -> None:
    engine = create_database_engine(get_settings().database_url, pool_size=1)
    try:
        with create_session_factory(engine)() as session:
            if not is_alive(session, f"@{socket.gethostname()}"):
                raise SystemExit("No process of this machine has sent a recent heartbeat.")
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).splitlines()[0]
        raise SystemExit(f"The database does not answer: {reason}") from None
    finally:
        engine.dispose()


if __name__ == "__main__":
    main()
