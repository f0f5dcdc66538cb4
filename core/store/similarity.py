"""Nearest tracks by the cosine similarity of their embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import Select, cast, func, literal, literal_column, not_, select, text, true
from sqlalchemy.orm import Session, aliased

from core.store.embeddings import get_vector
from core.store.libraries import get_library_by_name
from core.store.near_audio import measured_limits, near_pairs
from core.store.tables import Embedding, Library, Model, Track

_MAX_FETCHED = 600  # content hashes, to find enough distinct recordings

# Otherwise the index stops after ef_search neighbours, of which a filter may leave too few.
_ITERATIVE_SCAN = text("SET LOCAL hnsw.iterative_scan = strict_order")


@dataclass(frozen=True)
class SimilarTrack:
    track_id: UUID
    library: str
    path: str
    similarity: float  # cosine, 1 = same direction


def nearest_tracks(
    session: Session, track_id: UUID, model: Model, limit: int, library: str | None = None
) -> list[SimilarTrack]:
    """The tracks most similar to one, in descending order, without the track itself."""
    wanted = get_vector(session, track_id, model)
    library_id = None if library is None else get_library_by_name(session, library).id
    query = _nearest(model, wanted, track_id, library_id, limit)
    session.execute(_ITERATIVE_SCAN)
    return [SimilarTrack(*row) for row in session.execute(query)]


def nearest_of_each(
    session: Session, track_ids: Sequence[UUID], model: Model, library_id: UUID, limit: int
) -> dict[UUID, list[SimilarTrack]]:
    """The tracks of a library most similar to each of these, without duplicates, by a single statement.

    Equal audio is excluded for every model, near audio if its limits are measured. Tracks without an
    embedding of the model's encoder, or without neighbours, are omitted.
    """
    if not track_ids:
        return {}
    own, mine = aliased(Track), aliased(Embedding)
    wanted = cast(mine.vector, VECTOR(model.embedding_size))
    other_audio = Embedding.content_hash != mine.content_hash
    nearest = _nearest(model, wanted, own.id, library_id, limit).where(other_audio)
    if limits := measured_limits(session, model):
        vector = cast(Embedding.vector, VECTOR(model.embedding_size))
        is_near = (
            (Embedding.coverage == mine.coverage)
            & (func.abs(Embedding.duration_s - mine.duration_s) <= limits.duration_s)
            & (vector.cosine_distance(wanted) < limits.distance)
        )
        nearest = nearest.where(not_(is_near))
    near = nearest.lateral()
    query = (
        select(own.id, near)
        .join(mine, (mine.content_hash == own.content_hash) & (mine.encoder_id == model.encoder_id))
        .join(near, true())
        .where(own.id.in_(track_ids))
        .order_by(own.id, near.c.similarity.desc())
    )
    session.execute(_ITERATIVE_SCAN)
    found: dict[UUID, list[SimilarTrack]] = {}
    for track_id, *row in session.execute(query):
        found.setdefault(track_id, []).append(SimilarTrack(*row))
    return found


def _nearest(
    model: Model, wanted: Any, track_id: Any, library_id: UUID | None, limit: int
) -> Select[*tuple[Any, ...]]:
    """Query for `SimilarTrack` columns of the tracks nearest to the vector `wanted` (D,), without `track_id`.

    Both may be values or, in a lateral join, columns.
    """
    # Literals, so that the planner uses the encoder's partial index.
    vector = cast(Embedding.vector, VECTOR(model.embedding_size))
    distance: Any = vector.cosine_distance(wanted)
    query = (
        select(Track.id, Library.name, Track.path, (1 - distance).label("similarity"))
        .join(Embedding, Embedding.content_hash == Track.content_hash)
        .join(Library, Library.id == Track.library_id)
        .where(Embedding.encoder_id == literal_column(f"{model.encoder_id:d}"), Track.missing_at.is_(None))
        .where(Track.id != track_id)
        .order_by(distance)
        .limit(limit)
    )
    return query if library_id is None else query.where(Track.library_id == library_id)


def nearest_recordings(
    session: Session, track_id: UUID, model: Model, limit: int, library: str | None = None
) -> list[SimilarTrack]:
    """Like `nearest_tracks`, without duplicates of the track and among the results.

    Equal audio is excluded for every model, near audio if its limits are measured. There are fewer than
    `limit` results if hundreds of the nearest tracks are duplicates.
    """
    wanted = get_vector(session, track_id, model)
    own = session.scalars(select(Track.content_hash).where(Track.id == track_id)).one() or b""
    limits = measured_limits(session, model)
    fetched = limit if limits is None else 2 * limit + 10
    while True:
        found = _nearest_audio(session, wanted, own, model, fetched, library)
        if limits is None:
            return [track for _, track in found]
        pairs = near_pairs(session, [own, *(digest for digest, _ in found)], model, limits)
        recordings = _without_duplicates(own, found, pairs)
        if len(recordings) >= limit or len(found) < fetched or fetched == _MAX_FETCHED:
            return recordings[:limit]
        fetched = min(4 * fetched, _MAX_FETCHED)


def _without_duplicates(
    own: bytes, found: Sequence[tuple[bytes, SimilarTrack]], pairs: set[frozenset[bytes]]
) -> list[SimilarTrack]:
    """The results that are near neither to the given track nor to an earlier result."""
    kept = {own: None}
    recordings: list[SimilarTrack] = []
    for digest, track in found:
        if not any(frozenset((digest, before)) in pairs for before in kept):
            kept[digest] = None
            recordings.append(track)
    return recordings


def _nearest_audio(
    session: Session, wanted: Any, own: bytes, model: Model, limit: int, library: str | None
) -> list[tuple[bytes, SimilarTrack]]:
    """The nearest other content hashes, each with one of its tracks."""
    of_library = [] if library is None else [Track.library_id == get_library_by_name(session, library).id]
    track = (
        select(Track.id, Track.library_id, Track.path)
        .where(Track.content_hash == Embedding.content_hash, Track.missing_at.is_(None), *of_library)
        .order_by(Track.path, Track.id)
        .limit(1)
        .lateral("track")
    )
    vector = cast(Embedding.vector, VECTOR(model.embedding_size))
    distance: Any = vector.cosine_distance(wanted)
    query = (
        select(Embedding.content_hash, track.c.id, Library.name, track.c.path, 1 - distance)
        .select_from(Embedding)
        .join(track, literal(True))
        .join(Library, Library.id == track.c.library_id)
        .where(Embedding.encoder_id == literal_column(f"{model.encoder_id:d}"), Embedding.content_hash != own)
        .order_by(distance)
        .limit(limit)
    )
    session.execute(_ITERATIVE_SCAN)
    return [(digest, SimilarTrack(*row)) for digest, *row in session.execute(query)]
