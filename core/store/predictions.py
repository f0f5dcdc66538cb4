"""What models say of audio: one row per content and model, and the labels above threshold as rows."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Boolean, ColumnElement, delete, literal_column, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.config.models import Coverage, coverage_name
from core.errors import ResultDeleted
from core.store.embeddings import NewEmbedding, save_embeddings
from core.store.tables import Model, Prediction, PredictionLabel

# Of a row that an upsert returns: a fresh one has been locked by nobody (Postgres, system columns).
WAS_THERE: ColumnElement[bool] = literal_column("xmax <> 0", Boolean).label("was_there")


@dataclass(frozen=True)
class NewPrediction:
    content_hash: bytes
    coverage: str  # its name
    duration_s: float
    scores: list[float]  # (L,)
    embedding: Any = None  # (D,) numbers; None where the encoder's is stored already
    warnings: Sequence[str] = ()  # sentences on what of the audio could not be decoded


@dataclass(frozen=True)
class Label:
    label: str
    score: float


def is_covered(known: str, wanted: Coverage) -> bool:
    """Whether a result of one coverage serves where another is asked for: a full one serves always."""
    return known in ("full", coverage_name(wanted))


def given_labels(model: Model, scores: Sequence[float]) -> list[Label]:
    """Those that reach their threshold, highest score first; of a single-label model the highest alone."""
    if model.single_label:
        best = max(range(len(scores)), key=scores.__getitem__)
        return [Label(model.labels[best], scores[best])]
    rows = zip(model.labels, scores, model.thresholds, strict=True)
    given = [Label(label, score) for label, score, threshold in rows if score >= threshold]
    return sorted(given, key=lambda given_label: -given_label.score)


def find_coverages(session: Session, content_hashes: Sequence[bytes], model_id: int) -> dict[bytes, str]:
    """The coverage of each result that exists."""
    rows = session.execute(
        select(Prediction.content_hash, Prediction.coverage).where(
            Prediction.content_hash.in_(content_hashes), Prediction.model_id == model_id
        )
    )
    return {content_hash: coverage for content_hash, coverage in rows}


def find_prediction(session: Session, content_hash: bytes, model_id: int) -> Prediction | None:
    """What a model says of a piece of audio, if it has heard it."""
    return session.get(Prediction, (content_hash, model_id))


def find_predictions(
    session: Session, keys: Sequence[tuple[bytes, int]]
) -> dict[tuple[bytes, int], tuple[Model, Prediction]]:
    """Several by content hash and id of the model, each with its model; those that exist."""
    if not keys:
        return {}
    query = (
        select(Model, Prediction)
        .join(Prediction, Prediction.model_id == Model.id)
        .where(tuple_(Prediction.content_hash, Prediction.model_id).in_(keys))
    )
    return {(row.content_hash, row.model_id): (model, row) for model, row in session.execute(query)}


def hold_predictions(session: Session, content_hashes: Collection[bytes], model_id: int) -> None:
    """Keep stored results from being deleted until the transaction ends, when something refers to them.

    Raises ResultDeleted when one of them is gone since it was looked up.
    """
    if not content_hashes:
        return
    held = select(Prediction.content_hash).where(
        Prediction.content_hash.in_(content_hashes), Prediction.model_id == model_id
    )
    ordered = held.order_by(Prediction.content_hash).with_for_update(read=True, key_share=True)
    if set(content_hashes) - set(session.scalars(ordered)):
        raise ResultDeleted


def save_predictions(session: Session, model: Model, predictions: Sequence[NewPrediction]) -> None:
    """Write results, replacing what the model said of the same audio before."""
    if not predictions:
        return
    # A fixed order: two workers that find copies of the same files must not lock them crosswise.
    by_content = {prediction.content_hash: prediction for prediction in predictions}
    ordered = [by_content[content_hash] for content_hash in sorted(by_content)]
    statement = insert(Prediction)
    replaced = {name: statement.excluded[name] for name in ("coverage", "duration_s", "scores", "warnings")}
    # What has been heard in full is not replaced by what a few windows say.
    better = (Prediction.coverage != "full") | (statement.excluded.coverage == "full")
    rows = session.execute(
        statement.on_conflict_do_update(
            index_elements=[Prediction.content_hash, Prediction.model_id], set_=replaced, where=better
        ).returning(Prediction.content_hash, WAS_THERE),
        [_row(model, prediction) for prediction in ordered],
    )
    written = {content_hash: was_there for content_hash, was_there in rows}
    outdated = [content_hash for content_hash, was_there in written.items() if was_there]
    if outdated:
        session.execute(
            delete(PredictionLabel).where(
                PredictionLabel.content_hash.in_(outdated), PredictionLabel.model_id == model.id
            )
        )
    labels = [
        {"content_hash": row.content_hash, "model_id": model.id, "label": given.label, "score": given.score}
        for row in ordered
        if row.content_hash in written
        for given in given_labels(model, row.scores)
    ]
    if labels:
        session.execute(insert(PredictionLabel), labels)
    heard = [
        NewEmbedding(row.content_hash, row.coverage, row.duration_s, row.embedding, row.warnings)
        for row in ordered
        if row.embedding is not None
    ]
    save_embeddings(session, model.encoder_id, heard)


def copy_predictions(
    session: Session, source: Model, target: Model, after: bytes = b"", limit: int = 1000
) -> bytes | None:
    """Give a model the next results of another with the same weights; where to go on, None at the end."""
    query = select(Prediction).where(Prediction.model_id == source.id, Prediction.content_hash > after)
    known = session.scalars(query.order_by(Prediction.content_hash).limit(limit)).all()
    rows = [
        NewPrediction(each.content_hash, each.coverage, each.duration_s, each.scores, warnings=each.warnings)
        for each in known
    ]
    save_predictions(session, target, rows)
    return known[-1].content_hash if len(known) == limit else None


def _row(model: Model, prediction: NewPrediction) -> dict[str, Any]:
    return {
        "content_hash": prediction.content_hash,
        "model_id": model.id,
        "coverage": prediction.coverage,
        "duration_s": prediction.duration_s,
        "scores": prediction.scores,
        "warnings": list(prediction.warnings),
    }
