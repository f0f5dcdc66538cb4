"""Tracks: what was found in the libraries, what models say of it, and what sounds like it."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from fastapi.responses import StreamingResponse
from sqlalchemy.orm import Session

from api import schemas, views
from api.deps import READ, Cursor, Limit, ModelName, SessionDep, SessionsDep, Writer
from api.routes import make_router, problems
from api.track_exports import TRACK_MEDIA_TYPES, TrackExportFormat, export
from api.track_filters import LibraryName, Order, WantedTracks
from core.jobs.items import find_failure
from core.services.corrections import correct_track
from core.store import track_pages as service
from core.store import tracks
from core.store.correction_changes import get_history
from core.store.corrections import get_content_hash
from core.store.embeddings import get_vector
from core.store.facets import count_facets
from core.store.predictions import list_predictions
from core.store.registry import resolve_model
from core.store.similarity import nearest_recordings, nearest_tracks

router = make_router("tracks", dependencies=[READ])

TEXT: dict[str, Any] = {"schema": {"type": "string"}}
FORMATS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The tracks", "content": {"text/csv": TEXT, "audio/x-mpegurl": TEXT}}
}


@router.get("", responses=problems(404))
def list_tracks(
    session: SessionDep,
    wanted: WantedTracks,
    sort: Order = None,
    model: ModelName = "default",
    cursor: Cursor = None,
    limit: Limit = 100,
) -> schemas.Page[schemas.Track]:
    """Tracks of all libraries. With a genre only those that have the label, the most certain first.

    With `min_score` or a range of scores, `prediction.scores` has the score of each `genre`, as `labels` need
    not have it.
    """
    said_by = resolve_model(session, model)
    page = service.list_tracks(session, said_by, wanted, order=sort, cursor=cursor, limit=limit)
    shown = [each.label for each in wanted.labels] if wanted.has_scores else []
    items = [views.track(said_by, row, all_scores=False, scores_of=shown) for row in page.items]
    return schemas.Page(items=items, next_cursor=page.next_cursor)


@router.get("/facets", responses=problems(404))
def get_facets(
    session: SessionDep, wanted: WantedTracks, model: ModelName = "default"
) -> schemas.TrackFacets:
    """How many of the tracks that `GET /tracks` lists have each label, suffix, year and library.

    Of more than some ten thousand tracks the counts are estimates from a random sample, unless few match:
    `exact` says which. Tracks are counted, not pieces of audio.
    """
    said_by = resolve_model(session, model)
    return schemas.TrackFacets.model_validate(count_facets(session, said_by, wanted))


@router.get("/export", response_class=StreamingResponse, responses=FORMATS | problems(404))
def export_tracks(
    session: SessionDep,
    sessions: SessionsDep,
    wanted: WantedTracks,
    form: Annotated[TrackExportFormat, Query(alias="format")] = TrackExportFormat.CSV,
    sort: Order = None,
    model: ModelName = "default",
) -> StreamingResponse:
    """All tracks that `GET /tracks` lists on its pages, as CSV or as an extended M3U playlist.

    In CSV, text that a spreadsheet would take for a formula has a `'` in front. The playlist has the paths of
    the files on the server. Tracks that change while it is read may be in it twice or not at all. The answer
    breaks off when the model is deleted meanwhile.
    """
    said_by = resolve_model(session, model)
    service.list_tracks(session, said_by, wanted, order=sort, limit=1)  # what is wrong is said before
    return StreamingResponse(
        export(sessions, said_by.reference, wanted, sort, form),
        media_type=TRACK_MEDIA_TYPES[form],
        headers={"Content-Disposition": f'attachment; filename="tracks.{form}"'},
    )


@router.get("/{track_id}", responses=problems(404))
def get_track(track_id: UUID, session: SessionDep, model: ModelName = "default") -> schemas.Track:
    """A track with its labels, the score of every label, and the tags read from the file."""
    said_by = resolve_model(session, model)
    row = tracks.get_track(session, track_id, said_by)
    return views.track(said_by, row, all_scores=True, failure=find_failure(session, track_id))


@router.get("/{track_id}/predictions", responses=problems(404, 409))
def list_track_predictions(track_id: UUID, session: SessionDep) -> schemas.TrackPredictions:
    """What all models say of a track. What people say of it is in `GET /tracks/{id}`, not in these labels."""
    stored = list_predictions(session, get_content_hash(session, track_id))
    items = [views.stored_prediction(model, row) for model, row in stored]
    return schemas.TrackPredictions(track_id=track_id, items=items)


@router.get("/{track_id}/labels", responses=problems(404, 409))
def get_labels(track_id: UUID, session: SessionDep) -> schemas.TrackLabels:
    """What people said of the labels of a track, and how that came about. It belongs to the audio."""
    return schemas.TrackLabels(track_id=track_id, **_history(session, get_content_hash(session, track_id)))


@router.put("/{track_id}/labels", responses=problems(400, 404, 409, 413))
def correct_labels(
    track_id: UUID, body: schemas.CorrectionRequest, session: SessionDep, caller: Writer
) -> schemas.CorrectedTrack:
    """Say yes, no or unsure to labels of a track. That outranks every model, now and later.

    Labels that are not named stay as they are, so two people can correct one track at once. To say the same
    again changes nothing. `POST /corrections/{change}/undo` takes it back.
    """
    written = correct_track(
        session,
        track_id,
        body.labels,
        author=caller.owner,
        note=body.note,
        allow_new=body.allow_new,
    )
    return schemas.CorrectedTrack(
        track_id=track_id,
        change=written.change_id,
        changed=written.changed,
        unchanged=written.unchanged,
        **_history(session, get_content_hash(session, track_id)),
    )


def _history(session: Session, content_hash: bytes) -> dict[str, Any]:
    found = get_history(session, content_hash)
    shape = schemas.CorrectionEntry.model_validate
    return {
        "corrections": [shape(each) for each in found.current],
        "history": [shape(each) for each in found.history],
        "entries": found.entries,
    }


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
    return schemas.SimilarTracks(track_id=track_id, model=chosen.reference, items=items)


@router.get("/{track_id}/embedding", responses=problems(404, 409))
def get_embedding(track_id: UUID, session: SessionDep, model: ModelName = "default") -> schemas.Embedding:
    """The vector itself. Vectors of different models cannot be compared."""
    chosen = resolve_model(session, model)
    vector = get_vector(session, track_id, chosen)
    return schemas.Embedding(track_id=track_id, model=chosen.reference, embedding=list(vector))
