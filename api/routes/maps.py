"""The map: all tracks as points in the plane, by what they sound like."""

import hashlib
from typing import Annotated, Any

from fastapi import Header, Path, Query, Response
from sqlalchemy.orm import InstrumentedAttribute, Session

from api import schemas, views
from api.deps import READ, ModelName, SessionDep
from api.file_responses import CACHING
from api.routes import make_router, problems
from api.schemas.maps import MapColour
from api.track_filters import LibraryName, WantedTracks
from core.errors import Invalid, MapNotFound
from core.store import map_colours, tables
from core.store import maps as service
from core.store.registry import resolve_model
from core.store.track_filters import find_label, matching
from core.store.tracks import get_tracks

router = make_router("map", dependencies=[READ])

MOST_TRACKS = 10  # of a point
MOST_PLACES = 5000  # in one answer
BYTES: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
KNOWN: dict[int | str, dict[str, Any]] = {304: {"description": "The client has it already"}}
BINARY = KNOWN | {200: {"content": {"application/octet-stream": BYTES}, "description": "The bytes"}}
PICTURE = KNOWN | {200: {"content": {"image/png": BYTES}, "description": "The picture"}}
IfNoneMatch = Annotated[str, Header(description="an `ETag`: 304 if it is still the same")]


@router.get("", responses=problems(404))
def get_map(session: SessionDep, model: ModelName = "default", library: LibraryName = None) -> schemas.Map:
    """The newest map of one library, or of all, by the encoder of a model. A job of kind `map` replaces it.

    Tracks that sound alike lie near each other; the axes have no meaning, nor have large distances.
    """
    return views.found_map(service.find_map(session, resolve_model(session, model), library), library)


@router.get("/unplaced", responses=problems(404))
def count_unplaced(
    session: SessionDep, model: ModelName = "default", library: LibraryName = None
) -> schemas.UnplacedTracks:
    """How many tracks that are there now have no point, as they were added or analysed later."""
    found = service.find_map(session, resolve_model(session, model), library)
    tracks = service.count_unplaced(session, found)
    complete = tracks < service.MOST_COUNTED
    return schemas.UnplacedTracks(map_id=found.id, tracks=tracks, complete=complete)


@router.get("/points", response_class=Response, responses=BINARY | problems(404))
def get_points(
    session: SessionDep,
    model: ModelName = "default",
    library: LibraryName = None,
    if_none_match: IfNoneMatch = "",
) -> Response:
    """Where the points lie: for each x and y as unsigned 16-bit integers, little-endian, y upwards.

    Their order is random but the same for as long as there is this map, so any first part of the answer is a
    fair sample of the map. The places in other answers count points from 0.
    """
    found = _find(session, model, library, tables.Map.positions)
    return _answer(found.positions or b"", f'"{found.id}"', if_none_match, "application/octet-stream")


@router.get("/density.png", response_class=Response, responses=PICTURE | problems(404))
def get_density(
    session: SessionDep,
    model: ModelName = "default",
    library: LibraryName = None,
    if_none_match: IfNoneMatch = "",
) -> Response:
    """A picture of how densely the points lie."""
    found = _find(session, model, library, tables.Map.picture)
    return _answer(found.picture or b"", f'"{found.id}"', if_none_match, "image/png")


@router.get("/colours", response_class=Response, responses=BINARY | problems(404))
def get_colours(
    session: SessionDep,
    model: ModelName = "default",
    library: LibraryName = None,
    by: MapColour = MapColour.LABEL,
    label: Annotated[str | None, Query(max_length=200, description="only by `score`")] = None,
    against: Annotated[
        str | None, Query(max_length=200, description="only by `disagreement`: the other model")
    ] = None,
    if_none_match: IfNoneMatch = "",
) -> Response:
    """What is known of each point, as one byte in the order of the points; 0 if nothing is.

    - `label`: the place in `labels` of the map, counted from 1, of the first label when it was drawn; 255 for
      a label that is not among them.
    - `score`: 1 to 255 for a score of `label` from 0 to 1 by `model`.
    - `library`: the place of the first library that has it, counted from 1, among all by name.
    - `duplicates`: 1 for audio of one track, 2 for that of several.
    - `disagreement`: 1 where `model` and `against` give the same first label or none, 2 where they do not.
    """
    said_by = resolve_model(session, model)
    found = service.find_map(session, said_by, library, tables.Map.colours)
    content = _colours(session, found, said_by, by, label, against)
    tag = f'"{found.id}.{hashlib.sha256(content).hexdigest()[:32]}"'
    return _answer(content, tag, if_none_match, "application/octet-stream")


def _colours(
    session: Session,
    found: tables.Map,
    model: tables.Model,
    by: MapColour,
    label: str | None,
    against: str | None,
) -> bytes:
    if (label is None) == (by is MapColour.SCORE):
        raise Invalid("`label` is what `by=score` is told, and nothing else.")
    if (against is None) == (by is MapColour.DISAGREEMENT):
        raise Invalid("`against` is what `by=disagreement` is told, and nothing else.")
    if label is not None:
        own = find_label(session, model, label)
        if own is None:
            raise Invalid(f"The model {model.reference} gives no score for {label!r}.")
        return map_colours.colour_by_score(session, found, model, own)
    if against is not None:
        return map_colours.colour_by_disagreement(session, found, model, resolve_model(session, against))
    if by is MapColour.LIBRARY:
        return map_colours.colour_by_library(session, found)
    if by is MapColour.DUPLICATES:
        return map_colours.colour_by_duplicates(session, found)
    return found.colours or b""


@router.get("/points/{place}", responses=problems(404))
def get_point(
    session: SessionDep,
    place: Annotated[int, Path(ge=0, le=2**31 - 1, description="in the order of the points, from 0")],
    model: ModelName = "default",
    library: LibraryName = None,
) -> schemas.MapPoint:
    """What lies at a point: the tracks that hold this audio."""
    said_by = resolve_model(session, model)
    found = service.find_map(session, said_by, library)
    point, track_ids = service.find_tracks_at(session, found, place, MOST_TRACKS)
    rows = get_tracks(session, track_ids, said_by)
    tracks = [views.track(said_by, rows[each], all_scores=False) for each in track_ids if each in rows]
    return schemas.MapPoint(map_id=found.id, place=place, x=point.x, y=point.y, tracks=tracks)


@router.get("/matches", responses=problems(404))
def find_matches(
    session: SessionDep, wanted: WantedTracks, model: ModelName = "default"
) -> schemas.MapMatches:
    """Where those tracks lie that `GET /tracks` lists with the same parameters.

    With `library` on the map of this library if there is one, else on that of all.
    """
    said_by = resolve_model(session, model)
    try:
        found = service.find_map(session, said_by, wanted.library)
    except MapNotFound:
        found = service.find_map(session, said_by, None)
    where = matching(session, said_by, wanted)
    places = service.find_places(session, found, where, MOST_PLACES + 1)
    return schemas.MapMatches(
        map_id=found.id, places=places[:MOST_PLACES], complete=len(places) <= MOST_PLACES
    )


def _find(
    session: Session, model: str, library: str | None, column: InstrumentedAttribute[bytes | None]
) -> tables.Map:
    return service.find_map(session, resolve_model(session, model), library, column)


def _answer(content: bytes, tag: str, known: str, media_type: str) -> Response:
    headers = CACHING | {"ETag": tag}
    if {tag, "*"} & {each.strip().removeprefix("W/") for each in known.split(",")}:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=media_type)
