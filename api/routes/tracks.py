"""Tracks: what was found in the libraries, what models say of it, and what sounds like it."""

from typing import Annotated
from uuid import UUID

from fastapi import Query

from api import schemas, views
from api.deps import READ, Cursor, Limit, ModelName, SessionDep
from api.routes import make_router, problems
from core.store import tracks as service
from core.store.embeddings import get_vector
from core.store.registry import resolve_model
from core.store.similarity import nearest_recordings, nearest_tracks

router = make_router("tracks", dependencies=[READ])

LibraryName = Annotated[str | None, Query(max_length=200, description="name of a library")]


@router.get("", responses=problems(404))
def list_tracks(
    session: SessionDep,
    genre: Annotated[str | None, Query(max_length=200, description="a label of the model")] = None,
    min_score: Annotated[float, Query(ge=0, le=1, description="only with `genre`")] = 0.0,
    library: LibraryName = None,
    path: Annotated[str | None, Query(max_length=4096, description="relative to the library")] = None,
    unreadable_tags: Annotated[bool, Query(description="only files whose tags cannot all be read")] = False,
    model: ModelName = "default",
    cursor: Cursor = None,
    limit: Limit = 100,
) -> schemas.Page[schemas.Track]:
    """Tracks of all libraries. With a genre only those that have the label, the most certain first."""
    said_by = resolve_model(session, model)
    page = service.list_tracks(
        session,
        said_by,
        genre=genre,
        min_score=min_score,
        library=library,
        path=path,
        unreadable_tags=unreadable_tags,
        cursor=cursor,
        limit=limit,
    )
    items = [views.track(said_by, row, all_scores=False) for row in page.items]
    return schemas.Page(items=items, next_cursor=page.next_cursor)


@router.get("/{track_id}", responses=problems(404))
def get_track(track_id: UUID, session: SessionDep, model: ModelName = "default") -> schemas.Track:
    """A track with its labels, the score of every label, and the tags read from the file."""
    said_by = resolve_model(session, model)
    return views.track(said_by, service.get_track(session, track_id, said_by), all_scores=True)


@router.get("/{track_id}/similar", responses=problems(404, 409))
def list_similar_tracks(
    track_id: UUID,
    session: SessionDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
    library: LibraryName = None,
    duplicates: Annotated[
        bool, Query(description="also duplicates of the track and of tracks before in the list")
    ] = False,
    model: ModelName = "default",
) -> schemas.SimilarTracks:
    """The tracks that sound most like this one, by the cosine of their embeddings, without duplicates."""
    chosen = resolve_model(session, model)
    find = nearest_tracks if duplicates else nearest_recordings
    nearest = find(session, track_id, chosen, limit, library)
    items = [schemas.SimilarTrack.model_validate(near) for near in nearest]
    return schemas.SimilarTracks(track_id=track_id, model=views.model_name(chosen), items=items)


@router.get("/{track_id}/embedding", responses=problems(404, 409))
def get_embedding(track_id: UUID, session: SessionDep, model: ModelName = "default") -> schemas.Embedding:
    """The vector itself. Vectors of different models cannot be compared."""
    chosen = resolve_model(session, model)
    vector = get_vector(session, track_id, chosen)
    return schemas.Embedding(track_id=track_id, model=views.model_name(chosen), embedding=list(vector))
