"""Nearest tracks by the cosine of their embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import cast, literal, literal_column, select, text
from sqlalchemy.orm import Session

from core.db.tables import Embedding, Library, Model, Track
from core.services.embeddings import get_vector
from core.services.libraries import get_library_by_name
from core.services.near_audio import measured_limits, near_pairs

_MOST_FETCHED = 600  # pieces of audio, to find enough recordings among them


@dataclass(frozen=True)
class SimilarTrack:
    track_id: UUID
    library: str
    path: str
    similarity: float  # cosine, 1 = same direction


def nearest_tracks(
    session: Session, track_id: UUID, model: Model, limit: int, library: str | None = None
) -> list[SimilarTrack]:
    """The tracks that sound most like one, most similar first; the track itself is left out."""
    wanted = get_vector(session, track_id, model)
    # The literals let the planner see that the encoder's own partial index serves.
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
    if library is not None:
        query = query.where(Track.library_id == get_library_by_name(session, library).id)
    # Without it, the index stops after ef_search neighbours and a filter may leave fewer than asked for.
    session.execute(text("SET LOCAL hnsw.iterative_scan = strict_order"))
    return [SimilarTrack(*row) for row in session.execute(query)]


def nearest_recordings(
    session: Session, track_id: UUID, model: Model, limit: int, library: str | None = None
) -> list[SimilarTrack]:
    """Like `nearest_tracks`, without duplicates of the track and without duplicates among the answers.

    Equal audio is left out for every model, near audio where its limits are measured. Fewer than `limit` are
    found where hundreds of the nearest are duplicates.
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
        if len(recordings) >= limit or len(found) < fetched or fetched == _MOST_FETCHED:
            return recordings[:limit]
        fetched = min(4 * fetched, _MOST_FETCHED)


def _without_duplicates(
    own: bytes, found: Sequence[tuple[bytes, SimilarTrack]], pairs: set[frozenset[bytes]]
) -> list[SimilarTrack]:
    """The answers that are near neither to the track asked about nor to an answer before them."""
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
    """The nearest pieces of other audio, each with one of its tracks."""
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
    session.execute(text("SET LOCAL hnsw.iterative_scan = strict_order"))
    return [(digest, SimilarTrack(*row)) for digest, *row in session.execute(query)]
