"""Duplicates: tracks that probably hold the same recording."""

from typing import Annotated

from fastapi import Query

from api import schemas
from api.deps import READ, Cursor, ModelName, SessionDep
from api.routes import make_router, problems
from core.store.duplicates import list_duplicates
from core.store.registry import resolve_model

router = make_router("duplicates", dependencies=[READ])


@router.get("", responses=problems(404))
def list_duplicate_tracks(
    session: SessionDep,
    kind: Annotated[
        schemas.DuplicateKind,
        Query(
            description="`exact`: equal audio, whatever the tags; `similar`: several encodings of a recording"
        ),
    ] = "exact",
    library: Annotated[
        str | None, Query(max_length=200, description="look among the tracks of this library only")
    ] = None,
    model: ModelName = "default",
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=200, description="groups on a page")] = 100,
) -> schemas.Duplicates:
    """Groups of tracks with equal audio, or with near embeddings and durations. Nothing is merged.

    A page compares a bounded number of tracks (`compared`), so it may have few groups or none although more
    follow. All tracks have been compared when `next_cursor` is null.
    """
    chosen = resolve_model(session, model)
    found = list_duplicates(session, kind, chosen, library=library, cursor=cursor, limit=limit)
    return schemas.Duplicates(
        items=[schemas.DuplicateGroup.model_validate(group) for group in found.page.items],
        next_cursor=found.page.next_cursor,
        compared=found.compared,
    )
