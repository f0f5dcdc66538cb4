"""Predictions: one row per content hash and model, and one row per label above its threshold."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Boolean, ColumnElement, delete, literal_column, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.config.models import Coverage, coverage_name
from core.errors import ResultDeleted
from core.spelling import name_key
from core.states import LabelSource, Verdict
from core.store.corrections import Corrections
from core.store.embeddings import NewEmbedding, save_embeddings
from core.store.tables import Model, Prediction, PredictionLabel

# Whether a row that an upsert returns existed before: a new row has xmax 0 (Postgres, system columns).
WAS_THERE: ColumnElement[bool] = literal_column("xmax <> 0", Boolean).label("was_there")


@dataclass(frozen=True)
class NewPrediction:
    content_hash: bytes
    coverage: str  # its name
    duration_s: float
    scores: list[float]  # (L,)
    embedding: Any = None  # (D,) numbers; None if the encoder's embedding is already stored
    warnings: Sequence[str] = ()  # sentences on what of the audio could not be decoded


@dataclass(frozen=True)
class Label:
    label: str
    score: float  # of the model; 1 for a label that a person gave
    source: LabelSource = LabelSource.MODEL


def is_covered(known: str, wanted: Coverage) -> bool:
    """Whether a result of coverage `known` satisfies a request for `wanted`; a full one always does."""
    return known in ("full", coverage_name(wanted))


def given_labels(model: Model, scores: Sequence[float]) -> list[Label]:
    """Labels that reach their threshold, highest score first; for a single-label model only the highest."""
    if model.single_label:
        best = max(range(len(scores)), key=scores.__getitem__)
        return [Label(model.labels[best], scores[best])]
    rows = zip(model.labels, scores, model.thresholds, strict=True)
    given = [Label(label, score) for label, score, threshold in rows if score >= threshold]
    return sorted(given, key=lambda given_label: -given_label.score)


def true_labels(model: Model, said: Sequence[Label], corrections: Corrections) -> list[Label]:
    """The labels of a track: those that people gave it, then those of the model that nobody refused.

    Labels are spelt as the model does if it has them. A model that gives one label per track gives none
    beside a label of its own that a person gave, and none in place of one that a person refused.
    """
    if not corrections:
        return list(said)
    own = {name_key(label): label for label in model.labels}
    verdicts = {name_key(label): verdict for label, verdict in corrections.items()}
    confirmed = [label for label, verdict in corrections.items() if verdict == Verdict.YES]
    given = [Label(own.get(name_key(label), label), 1.0, LabelSource.CORRECTED) for label in confirmed]
    if model.single_label and any(name_key(label) in own for label in confirmed):
        return given
    decided = (Verdict.YES, Verdict.NO)
    return given + [each for each in said if verdicts.get(name_key(each.label)) not in decided]


def find_coverages(session: Session, content_hashes: Sequence[bytes], model_id: int) -> dict[bytes, str]:
    """The coverage of each result that exists."""
    rows = session.execute(
        select(Prediction.content_hash, Prediction.coverage).where(
            Prediction.content_hash.in_(content_hashes), Prediction.model_id == model_id
        )
    )
    return {content_hash: coverage for content_hash, coverage in rows}


def find_prediction(session: Session, content_hash: bytes, model_id: int) -> Prediction | None:
    """The stored prediction of a model for some audio, if there is one."""
    return session.get(Prediction, (content_hash, model_id))


def list_predictions(session: Session, content_hash: bytes) -> list[tuple[Model, Prediction]]:
    """What every model says of some audio, the newest prediction first."""
    query = select(Model, Prediction).join(Prediction, Prediction.model_id == Model.id)
    of_audio = query.where(Prediction.content_hash == content_hash)
    newest = of_audio.order_by(Prediction.created_at.desc(), Model.id.desc())
    return [(model, prediction) for model, prediction in session.execute(newest)]


def list_scores(session: Session, model: Model, content_hashes: Sequence[bytes]) -> dict[bytes, list[float]]:
    """The scores (L,) by a model of each piece of audio that it has labelled."""
    query = select(Prediction.content_hash, Prediction.scores).where(
        Prediction.model_id == model.id, Prediction.content_hash.in_(content_hashes)
    )
    return {content_hash: scores for content_hash, scores in session.execute(query)}


def find_predictions(
    session: Session, keys: Sequence[tuple[bytes, int]]
) -> dict[tuple[bytes, int], tuple[Model, Prediction]]:
    """Existing predictions by (content hash, model id), each with its model."""
    if not keys:
        return {}
    query = (
        select(Model, Prediction)
        .join(Prediction, Prediction.model_id == Model.id)
        .where(tuple_(Prediction.content_hash, Prediction.model_id).in_(keys))
    )
    return {(row.content_hash, row.model_id): (model, row) for model, row in session.execute(query)}


def hold_predictions(session: Session, content_hashes: Collection[bytes], model_id: int) -> None:
    """Lock stored results against deletion until the transaction ends, before something refers to them.

    Raises ResultDeleted if one of them was deleted since it was looked up.
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
    """Write predictions, replacing earlier ones of the same model for the same audio."""
    if not predictions:
        return
    # A fixed order, so that two workers that find copies of the same files do not deadlock.
    by_content = {prediction.content_hash: prediction for prediction in predictions}
    ordered = [by_content[content_hash] for content_hash in sorted(by_content)]
    statement = insert(Prediction)
    replaced = {name: statement.excluded[name] for name in ("coverage", "duration_s", "scores", "warnings")}
    # A full analysis is not replaced by one of a few windows.
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
    embeddings = [
        NewEmbedding(row.content_hash, row.coverage, row.duration_s, row.embedding, row.warnings)
        for row in ordered
        if row.embedding is not None
    ]
    save_embeddings(session, model.encoder_id, embeddings)


def copy_predictions(
    session: Session, source: Model, target: Model, after: bytes = b"", limit: int = 1000
) -> bytes | None:
    """Copy the next predictions of a model with equal weights; returns the next cursor, None at the end."""
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
