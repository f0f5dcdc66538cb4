"""Nearest tracks by the cosine of their embeddings."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import cast, literal_column, select, text
from sqlalchemy.orm import Session

from core.db.tables import Embedding, Library, Model, Track
from core.services.embeddings import get_vector
from core.services.libraries import get_library_by_name


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
