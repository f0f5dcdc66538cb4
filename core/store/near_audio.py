"""Audio with such near embeddings that it is probably the same recording."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    LargeBinary,
    cast,
    exists,
    func,
    literal,
    literal_column,
    select,
    text,
)
from sqlalchemy.orm import Session, aliased

from core.store.tables import Embedding, Encoder, Model, Track

NEIGHBOURS = 40  # nearest neighbours compared per content hash


@dataclass(frozen=True)
class Limits:
    """Upper limits below which two content hashes are considered one recording."""

    distance: float  # cosine distance of the mean embeddings
    duration_s: float  # difference


# By SHA-256 of the encoder's weights. The limits of other encoders have not been measured.
MEASURED = {
    # musicnn-msd, measured on real music: docs/DUPLICATES.md
    "47801e8d84e516948c49eabd3639c67ce9b6024e2425bfcb9611b2012f3bc582": Limits(0.02, 1.5),
}


def measured_limits(session: Session, model: Model) -> Limits | None:
    """The limits of the model's encoder; None if they have not been measured."""
    sha256 = session.scalar(select(Encoder.sha256).where(Encoder.id == model.encoder_id))
    return MEASURED.get(sha256 or "")


def near_neighbours(
    session: Session,
    content_hashes: Sequence[bytes],
    model: Model,
    limits: Limits,
    there: Sequence[ColumnElement[bool]],
) -> list[tuple[bytes, bytes]]:
    """Pairs of one of `content_hashes` and near audio, among its nearest neighbours in the encoder's index.

    Only audio of tracks that satisfy `there` is considered, and only equal coverages are compared.
    """
    one = aliased(Embedding)
    distance: Any = vector_of(Embedding, model).cosine_distance(vector_of(one, model))
    nearest = (
        select(Embedding.content_hash, Embedding.coverage, Embedding.duration_s, distance.label("distance"))
        .where(of_encoder(model))
        .order_by(distance)
        .limit(NEIGHBOURS)
        .lateral("nearest")
    )
    found = (
        select(one.content_hash, nearest.c.content_hash)
        .join(nearest, literal(True))
        .where(
            one.encoder_id == model.encoder_id,
            one.content_hash == func.any(literal(content_hashes, ARRAY(LargeBinary))),
            nearest.c.content_hash != one.content_hash,
            nearest.c.coverage == one.coverage,
            nearest.c.distance < limits.distance,
            func.abs(nearest.c.duration_s - one.duration_s) <= limits.duration_s,
            exists().where(Track.content_hash == nearest.c.content_hash, *there),
        )
    )
    session.execute(text(f"SET LOCAL hnsw.ef_search = {NEIGHBOURS}"))
    return [(first, second) for first, second in session.execute(found)]


def near_pairs(
    session: Session, content_hashes: Iterable[bytes], model: Model, limits: Limits
) -> set[frozenset[bytes]]:
    """The pairs of near audio among all pairs of these content hashes."""
    one, other = aliased(Embedding), aliased(Embedding)
    wanted = func.any(literal(list(content_hashes), ARRAY(LargeBinary)))
    distance: Any = vector_of(one, model).cosine_distance(vector_of(other, model))
    pairs = select(one.content_hash, other.content_hash).join(
        other, (one.content_hash < other.content_hash) & (one.coverage == other.coverage)
    )
    pairs = pairs.where(
        one.encoder_id == model.encoder_id,
        other.encoder_id == model.encoder_id,
        one.content_hash == wanted,
        other.content_hash == wanted,
        func.abs(one.duration_s - other.duration_s) <= limits.duration_s,
        distance < limits.distance,
    )
    return {frozenset(pair) for pair in session.execute(pairs)}


def similarities(
    session: Session, pairs: Sequence[tuple[bytes, bytes]], model: Model
) -> dict[tuple[bytes, bytes], float]:
    """Cosine similarity of each pair with stored embeddings."""
    if not pairs:
        return {}
    one, other = aliased(Embedding), aliased(Embedding)
    asked = (
        func.unnest(
            literal([first for first, _ in pairs], ARRAY(LargeBinary)),
            literal([second for _, second in pairs], ARRAY(LargeBinary)),
        )
        .table_valued("first", "second")
        .render_derived()
    )
    distance: Any = vector_of(one, model).cosine_distance(vector_of(other, model))
    query = (
        select(asked.c.first, asked.c.second, 1 - distance)
        .join(one, (one.content_hash == asked.c.first) & (one.encoder_id == model.encoder_id))
        .join(other, (other.content_hash == asked.c.second) & (other.encoder_id == model.encoder_id))
    )
    return {(first, second): cosine for first, second, cosine in session.execute(query)}


def vector_of(embedding: Any, model: Model) -> Any:
    """The vector of a row of embeddings, with the encoder's size as in its index."""
    return cast(embedding.vector, VECTOR(model.embedding_size))


def of_encoder(model: Model) -> ColumnElement[bool]:
    """A condition with the encoder as a literal, so that the planner uses the encoder's partial index."""
    return Embedding.encoder_id == literal_column(f"{model.encoder_id:d}")
