"""Queries of tracks that are saved under a name."""

from typing import Annotated, Any

from fastapi import Path, Response

from api import schemas
from api.deps import READ, WRITE, SessionDep
from api.routes import make_router, problems
from api.schemas.queries import QueryName
from core.config.track_query import read_query, write_query
from core.services.track_queries import filter_of
from core.store import saved_queries as service

router = make_router("queries")

Name = Annotated[QueryName, Path(description="name of a saved query", examples=["sad evenings"])]
CREATED: dict[int | str, dict[str, Any]] = {
    201: {"model": schemas.SavedQuery, "description": "No query had the name"}
}


@router.get("", dependencies=[READ])
def list_queries(session: SessionDep) -> schemas.Page[schemas.SavedQuery]:
    """All saved queries by name, at most 200. Everybody who may read sees them."""
    return schemas.Page(
        items=[schemas.SavedQuery.model_validate(each) for each in service.list_queries(session)]
    )


@router.get("/{name}", dependencies=[READ], responses=problems(404))
def get_query(name: Name, session: SessionDep) -> schemas.SavedQuery:
    """A saved query: what stands behind the `?` of `GET /tracks`, `/tracks/facets` and `/tracks/export`."""
    return schemas.SavedQuery.model_validate(service.get_query(session, name))


@router.put("/{name}", dependencies=[WRITE], responses=CREATED | problems(400, 413))
def save_query(
    name: Name, body: schemas.SavedQueryRequest, session: SessionDep, response: Response
) -> schemas.SavedQuery:
    """Save a query under a name, in place of the one that has it. What it finds follows the library.

    Parameters that `GET /tracks` does not have are refused; whether labels and libraries exist is told when
    the query is asked.
    """
    query = read_query(body.query)
    filter_of(query)  # what is wrong is said before it is saved
    saved, is_new = service.save_query(session, name, write_query(query))
    if is_new:
        response.status_code = 201
    return schemas.SavedQuery.model_validate(saved)


@router.delete("/{name}", status_code=204, dependencies=[WRITE], responses=problems(404))
def delete_query(name: Name, session: SessionDep) -> None:
    """Delete a saved query; the tracks that it finds stay."""
    service.delete_query(session, name)
