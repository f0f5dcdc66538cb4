"""Where Optuna keeps its side of studies: our own Postgres, in a schema of its own."""

from functools import cache

from optuna.storages import RDBStorage
from sqlalchemy import create_engine, make_url, text

from core.db.session import SERVER_OPTIONS
from core.settings import get_settings

SCHEMA = "optuna"
_MAKING_TABLES = 7_264_001  # of an advisory lock


@cache
def get_storage() -> RDBStorage:
    """One per process."""
    return open_storage(get_settings().database_url)


def open_storage(database_url: str) -> RDBStorage:
    """Makes its tables where they are missing; many may do so at a time."""
    url = make_url(database_url).set(drivername="postgresql+psycopg")
    options = f"-c search_path={SCHEMA} {SERVER_OPTIONS}"
    connection = {"options": options, "connect_timeout": 5}
    engine = create_engine(url, connect_args=connection)
    try:
        with engine.begin() as waiting:
            waiting.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MAKING_TABLES})
            return RDBStorage(
                url.render_as_string(hide_password=False),
                engine_kwargs={
                    "connect_args": connection,
                    "pool_pre_ping": True,
                    "pool_size": 1,
                    "max_overflow": 2,
                },
            )
    finally:
        engine.dispose()
