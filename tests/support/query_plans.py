"""How Postgres goes about a query."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session


def explain(session: Session, call: Callable[[], Any]) -> str:
    """The plans of the statements of a call, under the settings that it makes in between."""
    bind = session.get_bind()
    statements: list[tuple[str, Any]] = []

    def note(*args: Any) -> None:
        statements.append((args[2], args[3]))

    event.listen(bind, "before_cursor_execute", note)
    try:
        call()
    finally:
        event.remove(bind, "before_cursor_execute", note)
    plans: list[str] = []
    for statement, parameters in statements:
        if "set_config" in statement:
            session.connection().exec_driver_sql(statement, parameters)
        elif statement.startswith(("SELECT", "WITH")):
            plans += session.connection().exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars()
    return "\n".join(plans)
