"""Libraries: named folders of music on the server."""

from typing import Any

from fastapi import Response

from api import schemas, views
from api.deps import ADMIN, READ, SessionDep
from api.routes import make_router, problems
from core.services import libraries as service

router = make_router("libraries")

EXISTS: dict[int | str, dict[str, Any]] = {
    200: {"model": schemas.Library, "description": "The same folder had this name already"}
}


@router.post("", status_code=201, dependencies=[ADMIN], responses=EXISTS | problems(400, 409, 413))
def create_library(body: schemas.LibraryRequest, session: SessionDep, response: Response) -> schemas.Library:
    """Name a folder of the server. Jobs can read all audio files below it, and nothing outside."""
    library, created = service.create_library(session, body.name, body.path)
    if not created:
        response.status_code = 200
    return views.library(library, service.count_tracks(session, library))


@router.get("", dependencies=[READ])
def list_libraries(session: SessionDep) -> schemas.Page[schemas.Library]:
    """All libraries by name."""
    return schemas.Page(items=[views.library(*row) for row in service.list_libraries(session)])
