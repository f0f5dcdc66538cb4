"""Queries of tracks that are saved under a name. They find what there is when they are asked."""

from collections.abc import Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.errors import QueryNotFound, TooManyQueries
from core.store.tables import SavedQuery

MOST_QUERIES = 200


def list_queries(session: Session) -> Sequence[SavedQuery]:
    """All of them by name; there are at most `MOST_QUERIES`."""
    return session.scalars(select(SavedQuery).order_by(SavedQuery.name)).all()


def get_query(session: Session, name: str) -> SavedQuery:
    """Raises QueryNotFound."""
    found = session.get(SavedQuery, name)
    if found is None:
        raise QueryNotFound(f"There is no saved query {name!r}; GET /api/v1/queries lists them.")
    return found


def save_query(session: Session, name: str, query: str) -> tuple[SavedQuery, bool]:
    """Save a query, in place of one that has the name; returns it and whether the name is new.

    Raises TooManyQueries.
    """
    is_new = session.get(SavedQuery, name) is None
    if is_new and (session.scalar(select(func.count()).select_from(SavedQuery)) or 0) >= MOST_QUERIES:
        raise TooManyQueries(f"There are {MOST_QUERIES:,} saved queries: delete one first.")
    values = {"query": query, "updated_at": func.now()}
    saved = session.scalars(
        insert(SavedQuery)
        .values(name=name, query=query)
        .on_conflict_do_update(index_elements=[SavedQuery.name], set_=values)
        .returning(SavedQuery),
        execution_options={"populate_existing": True},
    ).one()
    return saved, is_new


def delete_query(session: Session, name: str) -> None:
    """Raises QueryNotFound."""
    deleted = session.execute(delete(SavedQuery).where(SavedQuery.name == name).returning(SavedQuery.name))
    if deleted.one_or_none() is None:
        raise QueryNotFound(f"There is no saved query {name!r}; GET /api/v1/queries lists them.")
