"""Maps: where audio lies in the plane, by the embeddings of an encoder.

Places count from 0 in the order of content hashes. These are random, so any first part of a map is a fair
sample of it, and the order is the same whenever the map is drawn. The colour of a point is a byte: 0 if the
track has no label, up to 254 the place of its first label in `Map.labels` counted from 1, 255 for others.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Integer,
    LargeBinary,
    Text,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.orm import Session, undefer
from sqlalchemy.orm.attributes import InstrumentedAttribute

from core.errors import MapNotFound, NotFound
from core.store.corrections import as_corrections, corrections_of
from core.store.libraries import get_library_by_name
from core.store.predictions import Label, true_labels
from core.store.tables import Embedding, Library, Map, MapPoint, Model, PredictionLabel, Track

MOST_COLOURS = 254
OTHER_LABEL = 255
MOST_COUNTED = 10_000  # tracks without a point


class MapAudio(NamedTuple):
    """A piece of audio to be placed."""

    content_hash: bytes
    vector: bytes  # as Postgres sends it in binary, see `core.store.previews`
    label: str | None  # the first of those that its tracks have


@dataclass(frozen=True)
class Coverage:
    """How many tracks of a scope have a point."""

    tracks: int  # that are there
    not_analysed: int  # whose audio has not been read yet
    no_embedding: int  # of whose audio the encoder has stored nothing


@dataclass(frozen=True)
class NewMap:
    """What a finished map adds to its points."""

    landmarks: int
    trustworthiness: float | None
    labels: Sequence[str]
    regions: Sequence[dict[str, Any]]
    positions: bytes
    colours: bytes
    picture: bytes


def is_in(library_id: UUID | None) -> tuple[ColumnElement[bool], ...]:
    """Whether a track is there, in one library or any. Joining `Library` leaves out deleted ones."""
    present = Track.missing_at.is_(None)
    return (present,) if library_id is None else (present, Track.library_id == library_id)


def _of_audio(encoder_id: int, library_id: UUID | None) -> tuple[ColumnElement[bool], ...]:
    track = select(Track.id).join(Library, Library.id == Track.library_id)
    of_track = track.where(Track.content_hash == Embedding.content_hash, *is_in(library_id)).correlate(
        Embedding
    )
    return Embedding.encoder_id == encoder_id, of_track.exists()


def count_audio(session: Session, encoder_id: int, library_id: UUID | None) -> int:
    """Number of pieces of audio that a map would show."""
    return (
        session.scalar(select(func.count(Embedding.content_hash)).where(*_of_audio(encoder_id, library_id)))
        or 0
    )


def list_audio(
    session: Session, model: Model, library_id: UUID | None, after: bytes, limit: int
) -> list[MapAudio]:
    """The next pieces of audio behind a content hash, in the order of these, with their labels by a model."""
    given = (
        select(PredictionLabel.label)
        .where(PredictionLabel.content_hash == Embedding.content_hash, PredictionLabel.model_id == model.id)
        .order_by(PredictionLabel.score.desc(), PredictionLabel.label)
        .correlate(Embedding)
    )
    query = (
        select(
            Embedding.content_hash,
            func.vector_send(Embedding.vector, type_=LargeBinary),
            func.array(given.scalar_subquery(), type_=ARRAY(Text)),
            corrections_of(Embedding.content_hash),
        )
        .where(*_of_audio(model.encoder_id, library_id), Embedding.content_hash > after)
        .order_by(Embedding.content_hash)
        .limit(limit)
    )
    return [
        MapAudio(content_hash, vector, _first_label(model, labels, said))
        for content_hash, vector, labels, said in session.execute(query)
    ]


def _first_label(model: Model, labels: Sequence[str], said: dict[str, str] | None) -> str | None:
    found = true_labels(model, [Label(label, 0.0) for label in labels], as_corrections(said))
    return found[0].label if found else None


def measure_coverage(session: Session, encoder_id: int, library_id: UUID | None) -> Coverage:
    has_embedding = exists().where(
        Embedding.content_hash == Track.content_hash, Embedding.encoder_id == encoder_id
    )
    counts = select(
        func.count(),
        func.count().filter(Track.content_hash.is_(None)),
        func.count().filter(Track.content_hash.is_not(None), ~has_embedding),
    )
    row = session.execute(
        counts.select_from(Track).join(Library, Library.id == Track.library_id).where(*is_in(library_id))
    ).one()
    return Coverage(*row)


def begin_map(
    session: Session, model: Model, library_id: UUID | None, job_id: UUID, seed: int
) -> UUID | None:
    """A new map without points for a job; None if the job has drawn one already.

    What a run that was killed has left is no longer that of the job, and is swept.
    """
    drawn = select(Map.completed_at).where(Map.job_id == job_id)
    known = session.execute(drawn).one_or_none()
    if known is not None and known.completed_at is not None:
        return None
    session.execute(update(Map).where(Map.job_id == job_id).values(job_id=None))
    new = Map(
        job_id=job_id, encoder_id=model.encoder_id, library_id=library_id, model=model.reference, seed=seed
    )
    session.add(new)
    session.flush()
    return new.id


def save_points(
    session: Session, map_id: UUID, first: int, content_hashes: Sequence[bytes], xs: list[int], ys: list[int]
) -> None:
    """Write points (N) whose places count from `first`. Repeated, it writes them again."""
    session.execute(
        delete(MapPoint).where(
            MapPoint.map_id == map_id, MapPoint.place.between(first, first + len(content_hashes) - 1)
        )
    )
    points = (
        func.unnest(
            literal(list(content_hashes), ARRAY(LargeBinary)),
            literal(xs, ARRAY(Integer)),
            literal(ys, ARRAY(Integer)),
        )
        .table_valued("content_hash", "x", "y", with_ordinality="number")
        .render_derived()
    )
    place = points.c.number + (first - 1)
    rows = select(literal(map_id), place, points.c.content_hash, points.c.x, points.c.y)
    session.execute(insert(MapPoint).from_select(["map_id", "place", "content_hash", "x", "y"], rows))


def complete_map(session: Session, map_id: UUID, new: NewMap, coverage: Coverage) -> None:
    """From now on it is the map of its encoder and library."""
    facts = {
        **asdict(coverage),
        "landmarks": new.landmarks,
        "trustworthiness": new.trustworthiness,
        "regions": list(new.regions),
    }
    values = {
        "completed_at": func.clock_timestamp(),
        "points": len(new.colours),
        "facts": facts,
        "labels": list(new.labels),
        "positions": new.positions,
        "colours": new.colours,
        "picture": new.picture,
    }
    session.execute(update(Map).where(Map.id == map_id).values(**values))


def find_map(
    session: Session, model: Model, library: str | None, *columns: InstrumentedAttribute[bytes | None]
) -> Map:
    """The map of a model's encoder and of a library, or of all, with these of its large columns.

    Raises LibraryNotFound and MapNotFound.
    """
    library_id = None if library is None else get_library_by_name(session, library).id
    found = session.scalars(
        select(Map)
        .where(
            Map.encoder_id == model.encoder_id,
            Map.library_id.is_not_distinct_from(library_id),
            Map.completed_at.is_not(None),
        )
        .order_by(Map.completed_at.desc())
        .limit(1)
        .options(*map(undefer, columns))
    ).one_or_none()
    if found is None:
        raise MapNotFound
    return found


def count_unplaced(session: Session, of_map: Map) -> int:
    """Tracks that are there now and have no point on a map; up to `MOST_COUNTED` are counted."""
    on_map = exists().where(MapPoint.content_hash == Track.content_hash, MapPoint.map_id == of_map.id)
    some = (
        select(Track.id)
        .join(Library, Library.id == Track.library_id)
        .where(*is_in(of_map.library_id), ~on_map)
        .limit(MOST_COUNTED)
        .subquery()
    )
    return session.scalar(select(func.count()).select_from(some)) or 0


def find_tracks_at(session: Session, of_map: Map, place: int, limit: int) -> tuple[MapPoint, list[UUID]]:
    """A point and the ids of tracks that lie there: present ones, up to `limit`. Raises NotFound."""
    point = session.get(MapPoint, (of_map.id, place))
    if point is None:
        raise NotFound(f"The map has no point {place}.")
    tracks = select(Track.id).join(Library, Library.id == Track.library_id)
    here = tracks.where(Track.content_hash == point.content_hash, *is_in(of_map.library_id))
    return point, list(session.scalars(here.order_by(Track.path, Track.id).limit(limit)))


def find_places(session: Session, of_map: Map, where: Sequence[ColumnElement[bool]], limit: int) -> list[int]:
    """The first `limit` places at which tracks lie that meet conditions on `Track`."""
    query = (
        select(MapPoint.place)
        .join(Track, Track.content_hash == MapPoint.content_hash)
        .join(Library, Library.id == Track.library_id)
        .where(MapPoint.map_id == of_map.id, *where)
        .distinct()
        .limit(limit)
    )
    return sorted(session.scalars(query))
