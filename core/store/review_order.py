"""The strategies of the review queue: which audio to ask about first."""

from typing import Any

from sqlalchemy import (
    ARRAY,
    Float,
    Select,
    Subquery,
    Text,
    TextClause,
    case,
    cast,
    exists,
    func,
    select,
    text,
)
from sqlalchemy.orm import Session

from core.config.dataset import reads_corrections
from core.errors import Invalid
from core.spelling import name_key
from core.states import Strategy, Verdict
from core.store.experiments import find_training
from core.store.tables import (
    Correction,
    CorrectionChange,
    Model,
    Prediction,
    PredictionLabel,
    Review,
    TrainingTrack,
)

# Of models with one label per track or several; of all labels or one of them.
MARGINS = {
    (False, False): "(SELECT min(abs(s - t)) FROM unnest(scores, CAST(:thresholds AS real[])) AS u(s, t))",
    (False, True): "abs(scores[:place] - :threshold)",
    (True, False): "(SELECT max(s) - (array_agg(s ORDER BY s DESC))[2] FROM unnest(scores) AS u(s))",
    (True, True): "abs(scores[:place] - (SELECT max(s) FROM unnest(scores) WITH ORDINALITY AS u(s, place) "
    "WHERE place <> :place))",
}


def rank_audio(
    model: Model, strategy: Strategy, label: str | None, other: Model | None, pool: Subquery
) -> Select[*tuple[Any, ...]]:
    """A query for audio that may be asked about, and the value by which it is ordered.

    `pool` has hashes and scores of undecided audio; what people said is suspected of all.
    """
    if strategy == Strategy.SUSPECT:
        return _suspects(model, label)
    if strategy == Strategy.DISAGREEMENT:
        if other is None:
            raise Invalid("Name the `other` model to compare with.")
        return _disagreements(model, other, label, pool)
    value = func.random() if strategy == Strategy.RANDOM else _margin(model, label)
    return select(pool.c.content_hash, cast(value, Float).label("value")).order_by(text("value"))


def _margin(model: Model, label: str | None) -> TextClause:
    """How close a decision is: distances of scores, 0 to 1."""
    margin = text(MARGINS[model.single_label, label is not None])
    if label is None:
        return margin if model.single_label else margin.bindparams(thresholds=model.thresholds)
    place = model.labels.index(label)
    if model.single_label:
        return margin.bindparams(place=place + 1)
    return margin.bindparams(place=place + 1, threshold=model.thresholds[place])


def _suspects(model: Model, label: str | None) -> Select[*tuple[Any, ...]]:
    """Corrected audio by the model's least confidence in what people said, unless it has been confirmed.

    Where the model was trained on the audio, by out-of-fold scores, if stored; nothing is suspected of labels
    that the models of the folds had not learnt.
    """
    keys = [name_key(each) for each in model.labels]
    scores = func.coalesce(TrainingTrack.scores, Prediction.scores, type_=ARRAY(Float))
    score = scores[func.array_position(cast(keys, ARRAY(Text)), Correction.label_key)]
    confidence = case((Correction.verdict == Verdict.YES, score), else_=1 - score)
    confirmed = exists().where(
        Review.content_hash == Correction.content_hash, Review.confirmed_at > CorrectionChange.created_at
    )
    return (
        select(Prediction.content_hash, cast(func.min(confidence), Float).label("value"))
        .join(Correction, Correction.content_hash == Prediction.content_hash)
        .outerjoin(
            TrainingTrack,
            (TrainingTrack.content_hash == Prediction.content_hash) & (TrainingTrack.model_id == model.id),
        )
        .join(CorrectionChange, CorrectionChange.id == Correction.change_id)
        .where(
            Prediction.model_id == model.id,
            Correction.verdict.in_((Verdict.YES, Verdict.NO)),
            Correction.label_key.in_(keys if label is None else [name_key(label)]),
            ~confirmed,
        )
        .group_by(Prediction.content_hash)
        .having(func.min(confidence).is_not(None))
        .order_by(text("value"))
    )


def _disagreements(model: Model, other: Model, label: str | None, pool: Subquery) -> Select[*tuple[Any, ...]]:
    """Audio of the pool by the number of labels, among those of both models, that only one gives it."""
    shared = sorted({*model.labels} & {*other.labels} & ({*model.labels} if label is None else {label}))
    if not shared:
        raise Invalid(f"{model.reference} and {other.reference} share no such label.")

    given = PredictionLabel
    by_one = (
        select(given.content_hash)
        .where(
            given.content_hash.in_(select(pool.c.content_hash)),
            given.model_id.in_((model.id, other.id)),
            given.label.in_(shared),
        )
        .group_by(given.content_hash, given.label)
        .having(func.count() == 1)
        .subquery()
    )
    counted = (
        select(by_one.c.content_hash, cast(func.count(), Float).label("value"))
        .group_by(by_one.c.content_hash)
        .subquery()
    )
    by_other = exists().where(
        Prediction.content_hash == counted.c.content_hash, Prediction.model_id == other.id
    )
    return select(counted).where(by_other).order_by(counted.c.value.desc())


def may_hide_errors(session: Session, model: Model) -> bool:
    """Whether the model was trained on corrected audio of which it has only its own scores."""
    of_model = select(TrainingTrack.model_id).where(TrainingTrack.model_id == model.id)
    if session.scalar(of_model.limit(1)) is None:
        run = find_training(session, model)
        return run is not None and reads_corrections(run.config)
    corrected = exists().where(
        Correction.content_hash == TrainingTrack.content_hash, Correction.verdict.is_not(None)
    )
    return session.scalar(of_model.where(TrainingTrack.scores.is_(None), corrected).limit(1)) is not None
