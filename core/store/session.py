"""Engines, sessions and transactions, which are opened by requests and by steps of jobs only.

Soft-deleted rows are excluded from every SELECT, including joins and counts. A statement with the execution
option `include_deleted` returns them.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.orm import ORMExecuteState, Session, sessionmaker, with_loader_criteria

from core.store.base import Deletable

SessionFactory = sessionmaker[Session]

# All statements are short: the timeouts stop a faulty one from holding its locks, and to compile them takes
# longer than it saves.
TIMEOUTS = "-c statement_timeout=30s -c lock_timeout=5s -c idle_in_transaction_session_timeout=30s"
# A plan for any values, which Postgres makes after some executions, cannot use an index of what is open, and
# reads all that has ended.
SERVER_OPTIONS = f"{TIMEOUTS} -c jit=off -c plan_cache_mode=force_custom_plan"
# A dead connection is detected within half a minute instead of the system's two hours.
PROBES = {"keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3}
DEAD_AFTER = {"tcp_user_timeout": 30_000} | PROBES  # ms; seconds


def create_database_engine(url: str, pool_size: int = 5) -> Engine:
    return create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        pool_size=pool_size,
        max_overflow=pool_size,
        connect_args={
            **DEAD_AFTER,
            "options": SERVER_OPTIONS,
            "connect_timeout": 5,
            "application_name": f"mfa {os.getpid()}",  # identifies the process in pg_stat_activity
        },
    )


def create_session_factory(engine: Engine, **info: Any) -> SessionFactory:
    """`info` is that of every session, for what is not in the database."""
    factory = sessionmaker(engine, expire_on_commit=False, info=info)
    event.listen(factory, "do_orm_execute", _leave_out_deleted)
    return factory


_NOT_DELETED = with_loader_criteria(Deletable, lambda row: row.deleted_at.is_(None), include_aliases=True)


def _leave_out_deleted(state: ORMExecuteState) -> None:
    if (
        state.is_select
        and not state.is_column_load
        and not state.is_relationship_load
        and not state.execution_options.get("include_deleted", False)
    ):
        state.statement = state.statement.options(_NOT_DELETED)


@contextmanager
def transaction(factory: SessionFactory) -> Iterator[Session]:
    """A session that commits when the block ends and rolls back when it raises."""
    with factory() as session, session.begin():
        yield session
