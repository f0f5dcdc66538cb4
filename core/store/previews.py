"""What is stored of tracks that the scores of a model can be had from, read page by page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import LargeBinary, func, select
from sqlalchemy.orm import Session, aliased

from core.store.corrections import corrections_of
from core.store.embeddings import HEAD
from core.store.tables import Embedding, Library, Model, Prediction, Track


class Source(NamedTuple):
    """Where the scores of a model come from: embeddings of a head's encoder, else its own predictions."""

    is_encoder: bool
    id: int  # of the encoder or the model


@dataclass(frozen=True)
class Stored:
    """Of a piece of audio."""

    coverage: str
    values: Any  # scores (L,) of a prediction, or an embedding as bytes, see `list_stored`


class StoredTrack(NamedTuple):
    """A present track with what is stored of its audio; `content_hash` is None until that has been read."""

    id: UUID
    content_hash: bytes | None
    corrections: Mapping[str, str] | None  # for `as_corrections`
    stored: Sequence[Stored | None]  # in the order of the sources


def source_of(model: Model) -> Source:
    is_head = model.kind == HEAD
    return Source(is_head, model.encoder_id if is_head else model.id)


def list_stored(
    session: Session, sources: Sequence[Source], library_id: UUID | None, after: UUID | None, limit: int
) -> list[StoredTrack]:
    """The next present tracks behind an id, in the order of ids, of one library or of all.

    Embeddings are as Postgres sends them in binary (`vector_send`), which spares parsing text: two 16-bit
    numbers, the first one D, then D 32-bit floats, all big-endian.
    """
    query = select(Track.id, Track.content_hash, corrections_of(Track.content_hash))
    query = query.join(Library, Library.id == Track.library_id).where(Track.missing_at.is_(None))
    for source in sources:
        if source.is_encoder:
            embedding = aliased(Embedding)
            of_audio = (embedding.content_hash == Track.content_hash) & (embedding.encoder_id == source.id)
            sent = func.vector_send(embedding.vector, type_=LargeBinary)
            query = query.outerjoin(embedding, of_audio).add_columns(embedding.coverage, sent)
        else:
            prediction = aliased(Prediction)
            of_audio = (prediction.content_hash == Track.content_hash) & (prediction.model_id == source.id)
            query = query.outerjoin(prediction, of_audio).add_columns(prediction.coverage, prediction.scores)
    if library_id is not None:
        query = query.where(Track.library_id == library_id)
    if after is not None:
        query = query.where(Track.id > after)
    return [_row(*row) for row in session.execute(query.order_by(Track.id).limit(limit))]


def _row(track_id: UUID, content_hash: bytes | None, corrections: Any, *found: Any) -> StoredTrack:
    pairs = zip(found[::2], found[1::2], strict=True)
    stored = [None if coverage is None else Stored(coverage, values) for coverage, values in pairs]
    return StoredTrack(track_id, content_hash, corrections, stored)


def places_of(session: Session, track_ids: Sequence[UUID]) -> dict[UUID, tuple[str, str]]:
    """Library and path of those tracks that still exist."""
    query = select(Track.id, Library.name, Track.path).join(Library, Library.id == Track.library_id)
    found = session.execute(query.where(Track.id.in_(track_ids)))
    return {track_id: (library, path) for track_id, library, path in found}
