"""Embeddings of audio: one row per content and encoder, shared by every model with that encoder."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.config.models import Coverage, coverage_name
from core.errors import ResultDeleted, TrackNotAnalysed, TrackNotFound
from core.store.tables import Embedding, Encoder, Library, Model, Track

HEAD = "transfer"  # the kind of model that predicts from a stored embedding alone


@dataclass(frozen=True)
class NewEmbedding:
    content_hash: bytes
    coverage: str  # its name
    duration_s: float
    vector: Any  # (D,) numbers; an array is written twice as fast as a list
    warnings: Sequence[str] = ()  # sentences on what of the audio could not be decoded


def save_embeddings(session: Session, encoder_id: int, embeddings: Sequence[NewEmbedding]) -> None:
    """Write embeddings of an encoder; those of a full analysis are not replaced by those of a few windows."""
    if not embeddings:
        return
    # A fixed order, so that two workers that find copies of the same files do not deadlock.
    ordered = sorted(embeddings, key=lambda embedding: embedding.content_hash)
    rows = [
        vars(embedding) | {"encoder_id": encoder_id, "warnings": list(embedding.warnings)}
        for embedding in ordered
    ]
    statement = insert(Embedding)
    new = statement.excluded
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[Embedding.content_hash, Embedding.encoder_id],
            set_={name: new[name] for name in ("coverage", "duration_s", "vector", "warnings")},
            where=(Embedding.coverage != "full") | (new.coverage == "full"),
        ),
        rows,
    )


def hold_embeddings(session: Session, content_hashes: Collection[bytes], encoder_id: int) -> None:
    """Lock stored embeddings against deletion until the transaction ends, before something refers to them.

    Raises ResultDeleted if one of them was deleted since it was looked up. Call it after writing the
    predictions: the sweep locks predictions first, then embeddings.
    """
    if not content_hashes:
        return
    held = select(Embedding.content_hash).where(
        Embedding.content_hash.in_(content_hashes), Embedding.encoder_id == encoder_id
    )
    ordered = held.order_by(Embedding.content_hash).with_for_update(read=True, key_share=True)
    if set(content_hashes) - set(session.scalars(ordered)):
        raise ResultDeleted


def find_embedded(
    session: Session, content_hashes: Sequence[bytes], model: Model, wanted: Coverage
) -> set[bytes]:
    """Content hashes that a model can label from a stored embedding, as found by `find_embeddings`."""
    if model.kind != HEAD or not content_hashes:
        return set()
    query = select(Embedding.content_hash).where(*_serving(content_hashes, model, wanted))
    return set(session.scalars(query))


def find_embeddings(
    session: Session, content_hashes: Sequence[bytes], model: Model, wanted: Coverage
) -> dict[bytes, Embedding]:
    """Stored embeddings of a head's encoder, written for this model or another, by content hash."""
    if model.kind != HEAD or not content_hashes:
        return {}
    found = session.scalars(select(Embedding).where(*_serving(content_hashes, model, wanted)))
    return {embedding.content_hash: embedding for embedding in found}


def find_vectors(
    session: Session, encoder_sha256: str, content_hashes: Collection[bytes]
) -> list[tuple[bytes, Any, list[str]]]:
    """Content hash, vector (D,) and warnings of the embeddings of whole tracks from the encoder's weights."""
    columns = select(Embedding.content_hash, Embedding.vector, Embedding.warnings)
    found = session.execute(columns.where(*_of_whole_tracks(encoder_sha256, content_hashes)))
    return [(content_hash, vector, warnings) for content_hash, vector, warnings in found]


def find_embedded_contents(
    session: Session, encoder_sha256: str, content_hashes: Collection[bytes]
) -> set[bytes]:
    """The content hashes of which `find_vectors` finds an embedding."""
    query = select(Embedding.content_hash).where(*_of_whole_tracks(encoder_sha256, content_hashes))
    return set(session.scalars(query))


def _of_whole_tracks(
    encoder_sha256: str, content_hashes: Collection[bytes]
) -> tuple[ColumnElement[bool], ...]:
    encoder = select(Encoder.id).where(Encoder.sha256 == encoder_sha256).scalar_subquery()
    return (
        Embedding.encoder_id == encoder,
        Embedding.content_hash.in_(content_hashes),
        Embedding.coverage == coverage_name("full"),
    )


def _serving(
    content_hashes: Sequence[bytes], model: Model, wanted: Coverage
) -> tuple[ColumnElement[bool], ...]:
    return (
        Embedding.content_hash.in_(content_hashes),
        Embedding.encoder_id == model.encoder_id,
        Embedding.coverage.in_(("full", coverage_name(wanted))),
    )


def get_vector(session: Session, track_id: UUID, model: Model) -> Any:
    """Embedding (D,) of a track from the model's encoder. Raises TrackNotFound or TrackNotAnalysed."""
    of_encoder = (Embedding.content_hash == Track.content_hash) & (Embedding.encoder_id == model.encoder_id)
    row = session.execute(
        select(Track.id, Embedding.vector)
        .join(Library, Library.id == Track.library_id)
        .outerjoin(Embedding, of_encoder)
        .where(Track.id == track_id)
    ).one_or_none()
    if row is None:
        raise TrackNotFound
    if row.vector is None:
        raise TrackNotAnalysed
    return row.vector
