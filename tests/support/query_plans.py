"""How Postgres goes about a query."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session


def explain(session: Session, call: Callable[[], Any]) -> str:
    """The plan that Postgres chooses by itself for the last statement of a call."""
    bind = session.get_bind()
    statements: list[tuple[str, Any]] = []

    def note(*args: Any) -> None:
        statements.append((args[2], args[3]))

    event.listen(bind, "before_cursor_execute", note)
    try:
        call()
    finally:
        event.remove(bind, "before_cursor_execute", note)
    statement, parameters = statements[-1]
    return "\n".join(session.connection().exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars())
