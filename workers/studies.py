"""Where Optuna keeps its side of studies: our own Postgres, in a schema of its own."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from uuid import UUID

from optuna.storages import RDBStorage
from sqlalchemy import Engine, create_engine, func, make_url, select, text
from sqlalchemy.exc import DBAPIError

from core.settings import get_settings
from core.store.session import SERVER_OPTIONS

SCHEMA = "optuna"
_MAKING_TABLES = 7_264_001  # of an advisory lock
_ASKING = 7_264_002  # of the advisory locks of studies
_LOOK_EVERY_S = 0.1


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


@contextmanager
def asking_alone(engine: Engine, study_id: UUID, on_wait: Callable[[], None]) -> Iterator[None]:
    """As long as the block lasts, no other process asks for a trial of this study.

    Sampling can take minutes, in which no transaction may be open and no row locked. So this is a lock of a
    Postgres session on a connection of its own; it ends with the process, however that ends. `on_wait` is
    called while another process asks; what it raises ends the waiting.
    """
    key = func.hashtextextended(str(study_id), _ASKING)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while not connection.scalar(select(func.pg_try_advisory_lock(key))):
            on_wait()
            time.sleep(_LOOK_EVERY_S)
        try:
            yield
        finally:
            try:
                connection.execute(select(func.pg_advisory_unlock(key)))
            except DBAPIError:
                connection.invalidate()
