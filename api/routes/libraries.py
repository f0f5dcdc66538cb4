"""Libraries: named folders of music on the server."""

from typing import Annotated, Any

from fastapi import Path, Response

from api import schemas, views
from api.deps import ADMIN, READ, SessionDep
from api.routes import DELETED, make_router, problems
from core.services import changes
from core.store import libraries as service

router = make_router("libraries")

Name = Annotated[str, Path(max_length=200, description="name of a library", examples=["home"])]
EXISTS: dict[int | str, dict[str, Any]] = {
    200: {"model": schemas.Library, "description": "The same folder had this name already"}
}


@router.post("", status_code=201, dependencies=[ADMIN], responses=EXISTS | problems(400, 409, 413))
def create_library(body: schemas.LibraryRequest, session: SessionDep, response: Response) -> schemas.Library:
    """Name a folder of the server. Jobs can read all audio files below it, and nothing outside."""
    library, created = service.create_library(session, body.name, body.path)
    if not created:
        response.status_code = 200
    return views.library(library, service.count_present(session, library))


@router.get("", dependencies=[READ])
def list_libraries(session: SessionDep) -> schemas.Page[schemas.Library]:
    """All libraries by name."""
    return schemas.Page(items=[views.library(*row) for row in service.list_libraries(session)])


@router.get("/{name:path}", dependencies=[READ], responses=problems(404))
def get_library(name: Name, session: SessionDep) -> schemas.Library:
    """A library with the number of its tracks. A `/` in its name may be sent as it is."""
    library = service.get_library_by_name(session, name)
    return views.library(library, service.count_present(session, library))


@router.patch("/{name:path}", dependencies=[ADMIN], responses=problems(400, 404, 409, 413))
def change_library(name: Name, body: schemas.LibraryChange, session: SessionDep) -> schemas.Library:
    """Rename a library, or say where its folder has moved to. Its tracks keep their ids, labels and vectors.

    A folder that has moved is not analysed again: paths are relative to it. 409 when another library has the
    name, and for a new folder while an open job reads the library, or if most of its files are not there: the
    code is `library_elsewhere` then, and `force` moves it nevertheless.
    """
    library = changes.change_library(session, name, body.name, body.path, force=body.force)
    return views.library(library, service.count_present(session, library))


@router.delete("/{name:path}", status_code=204, dependencies=[ADMIN], responses=DELETED | problems(404, 409))
def delete_library(name: Name, session: SessionDep) -> None:
    """Forget a library and its tracks; the music itself is not touched. Its name is free at once.

    Labels and vectors of audio that another library holds too stay. 409 while an open job uses the library.
    """
    changes.delete_library(session, name)
