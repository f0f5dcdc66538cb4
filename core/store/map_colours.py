"""What the colours of the points of a map tell besides labels, as bytes in the order of the points."""

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    LargeBinary,
    Select,
    Subquery,
    case,
    cast,
    func,
    literal,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by, distinct_on
from sqlalchemy.orm import Session, aliased

from core.store.libraries import list_library_names
from core.store.maps import is_in
from core.store.tables import Library, Map, MapPoint, Model, Prediction, PredictionLabel, Track
from core.store.track_filters import stored_score

NOTHING = 0  # is known of the point
HIGHEST = 255
ONE, SEVERAL = 1, 2  # tracks with this audio
SAME, OTHER = 1, 2  # first labels
NO_BYTES: ColumnElement[bytes] = literal_column("''::bytea", LargeBinary)
ONE_BYTE: ColumnElement[bytes] = literal_column(r"'\x00'::bytea", LargeBinary)


def colour_by_score(session: Session, of_map: Map, model: Model, label: str) -> bytes:
    """1 to 255 for a score of 0 to 1 by the model."""
    score = stored_score(model, label)
    of_audio = (Prediction.content_hash == MapPoint.content_hash) & (Prediction.model_id == model.id)
    code = 1 + func.round(score * (HIGHEST - 1))
    return _bytes(session, _points(of_map, code).outerjoin(Prediction, of_audio))


def colour_by_library(session: Session, of_map: Map) -> bytes:
    """The place of the first library with this audio among all by name, from 1; 255 for any later one."""
    names = list_library_names(session)
    numbers = {name: min(number, HIGHEST) for number, name in enumerate(names, 1)}
    library = case(numbers, value=Library.name) if numbers else literal(NOTHING)
    tracks = _tracks(of_map, func.min(library))
    code = _points(of_map, tracks.c.code).outerjoin(tracks, tracks.c.content_hash == MapPoint.content_hash)
    return _bytes(session, code)


def colour_by_duplicates(session: Session, of_map: Map) -> bytes:
    """1 for audio of one track, 2 for that of several."""
    tracks = _tracks(of_map, case((func.count() > 1, SEVERAL), else_=ONE))
    return _bytes(
        session,
        _points(of_map, tracks.c.code).outerjoin(tracks, tracks.c.content_hash == MapPoint.content_hash),
    )


def colour_by_disagreement(session: Session, of_map: Map, model: Model, other: Model) -> bytes:
    """1 where two models give the same first label, or none, 2 where they do not; 0 unless both know it."""
    labels = [_first_labels(model, "one"), _first_labels(other, "two")]
    known = [aliased(Prediction), aliased(Prediction)]
    code = case(
        (or_(*(each.model_id.is_(None) for each in known)), NOTHING),
        (labels[0].c.label.is_distinct_from(labels[1].c.label), OTHER),
        else_=SAME,
    )
    query = _points(of_map, code)
    for each, prediction, given in zip((model, other), known, labels, strict=True):
        of_audio = prediction.content_hash == MapPoint.content_hash
        query = query.outerjoin(prediction, of_audio & (prediction.model_id == each.id))
        query = query.outerjoin(given, given.c.content_hash == MapPoint.content_hash)
    return _bytes(session, query)


def _first_labels(model: Model, name: str) -> Subquery:
    given = PredictionLabel
    labels = select(given.content_hash, given.label).where(given.model_id == model.id)
    ordered = labels.order_by(given.content_hash, given.score.desc(), given.label)
    return ordered.ext(distinct_on(given.content_hash)).subquery(name)


def _tracks(of_map: Map, code: ColumnElement[Any]) -> Subquery:
    """A code for each piece of audio, from its present tracks."""
    return (
        select(Track.content_hash, code.label("code"))
        .join(Library, Library.id == Track.library_id)
        .where(Track.content_hash.is_not(None), *is_in(of_map.library_id))
        .group_by(Track.content_hash)
        .subquery("audio")
    )


def _points(of_map: Map, code: ColumnElement[Any]) -> Select[int, int]:
    number = cast(func.coalesce(code, NOTHING), Integer).label("code")
    return select(MapPoint.place, number).where(MapPoint.map_id == of_map.id)


def _bytes(session: Session, points: Select[int, int]) -> bytes:
    """One byte per point, put together by the database: a million rows would take seconds to send."""
    coded = points.subquery("coded")
    byte = func.set_byte(ONE_BYTE, 0, coded.c.code)
    found = session.scalar(select(func.string_agg(byte, aggregate_order_by(NO_BYTES, coded.c.place))))
    return bytes(found or b"")
