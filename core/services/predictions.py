"""What models say of audio: one row per content and model, and the labels above threshold as rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.config import Coverage
from core.db.tables import Model, Prediction, PredictionLabel

HEAD = "transfer"  # the kind of model that answers from an embedding alone


@dataclass(frozen=True)
class NewPrediction:
    content_hash: bytes
    coverage: str  # its name
    duration_s: float
    scores: list[float]  # (L,)
    embedding: Any  # (D,) numbers; an array is written twice as fast as a list


@dataclass(frozen=True)
class Label:
    label: str
    score: float


def coverage_name(coverage: Coverage) -> str:
    """`full`, or `windows:8`."""
    return coverage if isinstance(coverage, str) else f"windows:{coverage.windows}"


def is_covered(known: str, wanted: Coverage) -> bool:
    """Whether a result of one coverage serves where another is asked for: a full one serves always."""
    return known in ("full", coverage_name(wanted))


def labels_above_threshold(model: Model, scores: Sequence[float]) -> list[Label]:
    """Highest score first."""
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


def find_embedded(
    session: Session, content_hashes: Sequence[bytes], model: Model, wanted: Coverage
) -> set[bytes]:
    """Which audio a model can label without hearing it: that of which `find_embeddings` has something."""
    if model.kind != HEAD or not content_hashes:
        return set()
    heard = select(Prediction.content_hash).join(Model, Model.id == Prediction.model_id)
    return set(session.scalars(heard.where(*_by_same_encoder(content_hashes, model, wanted))))


def find_embeddings(
    session: Session, content_hashes: Sequence[bytes], model: Model, wanted: Coverage
) -> dict[bytes, Prediction]:
    """What another model with the same encoder has heard: its embedding is also this model's."""
    if model.kind != HEAD or not content_hashes:
        return {}
    heard = select(Prediction).join(Model, Model.id == Prediction.model_id)
    found = heard.where(*_by_same_encoder(content_hashes, model, wanted))
    # The full ones come last and so are kept.
    ordered = session.scalars(found.order_by(Prediction.coverage.desc()))
    return {prediction.content_hash: prediction for prediction in ordered}


def _by_same_encoder(
    content_hashes: Sequence[bytes], model: Model, wanted: Coverage
) -> tuple[ColumnElement[bool], ...]:
    return (
        Prediction.content_hash.in_(content_hashes),
        Prediction.coverage.in_(("full", coverage_name(wanted))),
        Model.encoder_sha256 == model.encoder_sha256,
        Model.id != model.id,
    )


def find_prediction(session: Session, content_hash: bytes, model_id: int) -> Prediction | None:
    """What a model says of a piece of audio, if it has heard it."""
    return session.get(Prediction, (content_hash, model_id))


def save_predictions(session: Session, model: Model, predictions: Sequence[NewPrediction]) -> None:
    """Write results, replacing what the model said of the same audio before."""
    if not predictions:
        return
    # A fixed order: two workers that find copies of the same files must not lock them crosswise.
    by_content = {prediction.content_hash: prediction for prediction in predictions}
    ordered = [by_content[content_hash] for content_hash in sorted(by_content)]
    statement = insert(Prediction).values([_row(model, prediction) for prediction in ordered])
    replaced = {name: statement.excluded[name] for name in ("coverage", "duration_s", "scores", "embedding")}
    # What has been heard in full is not replaced by what a few windows say.
    better = (Prediction.coverage != "full") | (statement.excluded.coverage == "full")
    written = session.scalars(
        statement.on_conflict_do_update(
            index_elements=[Prediction.content_hash, Prediction.model_id], set_=replaced, where=better
        ).returning(Prediction.content_hash)
    ).all()
    session.execute(
        delete(PredictionLabel).where(
            PredictionLabel.content_hash.in_(written), PredictionLabel.model_id == model.id
        )
    )
    labels = [
        {"content_hash": row.content_hash, "model_id": model.id, "label": given.label, "score": given.score}
        for row in ordered
        if row.content_hash in written
        for given in labels_above_threshold(model, row.scores)
    ]
    if labels:
        session.execute(insert(PredictionLabel), labels)


def _row(model: Model, prediction: NewPrediction) -> dict[str, Any]:
    return {
        "content_hash": prediction.content_hash,
        "model_id": model.id,
        "coverage": prediction.coverage,
        "duration_s": prediction.duration_s,
        "scores": prediction.scores,
        "embedding": prediction.embedding,
    }
