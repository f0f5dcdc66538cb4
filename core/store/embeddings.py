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
from core.store.tables import Embedding, Library, Model, Track

HEAD = "transfer"  # the kind of model that answers from an embedding alone


@dataclass(frozen=True)
class NewEmbedding:
    content_hash: bytes
    coverage: str  # its name
    duration_s: float
    vector: Any  # (D,) numbers; an array is written twice as fast as a list
    warnings: Sequence[str] = ()  # sentences on what of the audio could not be decoded


def save_embeddings(session: Session, encoder_id: int, embeddings: Sequence[NewEmbedding]) -> None:
    """Write what an encoder has heard; what it heard in full is not replaced by a few windows."""
    if not embeddings:
        return
    # A fixed order: two workers that find copies of the same files must not lock them crosswise.
    ordered = sorted(embeddings, key=lambda heard: heard.content_hash)
    rows = [vars(heard) | {"encoder_id": encoder_id, "warnings": list(heard.warnings)} for heard in ordered]
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
    """Keep stored embeddings from being deleted until the transaction ends, when something refers to them.

    Raises ResultDeleted when one of them is gone since it was looked up. To be called after the predictions
    are written: the sweep locks predictions first, then embeddings.
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
    """Which audio a model can label without hearing it: that of which `find_embeddings` has something."""
    if model.kind != HEAD or not content_hashes:
        return set()
    query = select(Embedding.content_hash).where(*_serving(content_hashes, model, wanted))
    return set(session.scalars(query))


def find_embeddings(
    session: Session, content_hashes: Sequence[bytes], model: Model, wanted: Coverage
) -> dict[bytes, Embedding]:
    """What the encoder of a head has heard, for this model or for another."""
    if model.kind != HEAD or not content_hashes:
        return {}
    found = session.scalars(select(Embedding).where(*_serving(content_hashes, model, wanted)))
    return {embedding.content_hash: embedding for embedding in found}


def _serving(
    content_hashes: Sequence[bytes], model: Model, wanted: Coverage
) -> tuple[ColumnElement[bool], ...]:
    return (
        Embedding.content_hash.in_(content_hashes),
        Embedding.encoder_id == model.encoder_id,
        Embedding.coverage.in_(("full", coverage_name(wanted))),
    )


def get_vector(session: Session, track_id: UUID, model: Model) -> Any:
    """Where a track lies in the space of the model's encoder: (D,)."""
    heard = (Embedding.content_hash == Track.content_hash) & (Embedding.encoder_id == model.encoder_id)
    row = session.execute(
        select(Track.id, Embedding.vector)
        .join(Library, Library.id == Track.library_id)
        .outerjoin(Embedding, heard)
        .where(Track.id == track_id)
    ).one_or_none()
    if row is None:
        raise TrackNotFound
    if row.vector is None:
        raise TrackNotAnalysed
    return row.vector
