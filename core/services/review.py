"""Asking people about labels, and how many more answers the model needs."""

import math
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from core.errors import Invalid
from core.states import Strategy
from core.store import review as store
from core.store.corrections import count_corrected_since
from core.store.experiments import find_training
from core.store.libraries import get_library_by_name
from core.store.registry import resolve_model
from core.store.review import Question
from core.store.review_order import may_hide_errors
from core.store.review_pool import Progress, count_progress
from core.store.session import SessionFactory, transaction
from core.store.tables import Model
from core.store.track_filters import find_label

WHO_HAS_ONE = "only the training of a logistic head measures one."
TRAINED_ON = (
    "The model was trained on some of these tracks, so its scores may agree with labels that are wrong."
)


@dataclass(frozen=True)
class Asked:
    """What a reviewer wants to be asked about."""

    strategy: Strategy
    n: int  # tracks at most
    lease_s: float
    label: str | None = None  # of the model, in any spelling
    library: str | None = None
    model: str = "default"
    other: str = "previous"  # to compare with, for `disagreement`


@dataclass(frozen=True)
class Forecast:
    """How many more corrected tracks give 95 % of the macro-F1 that the model approaches.

    Assumes the same share of training tracks as in that training: with a single split, its training part.
    `more` is None if that cannot be told, with the reason; `high` is None if it is too far to tell. A 95 %
    interval.
    """

    more: int | None = None
    low: int | None = None
    high: int | None = None
    plateau: float | None = None  # macro-F1
    reason: str | None = None
    unmeasured: list[str] = field(default_factory=list)  # labels of the model that this is not about


@dataclass(frozen=True)
class Batch:
    model: Model
    label: str | None  # as the model spells it
    questions: list[Question]
    progress: Progress
    forecast: Forecast
    warnings: list[str]


def take_questions(sessions: SessionFactory, asked: Asked, reviewer: str) -> Batch:
    """Lease tracks to ask about. Raises Invalid, ModelNotFound or LibraryNotFound.

    Others who take questions wait for the first transaction: what takes longer has one of its own.
    """
    with transaction(sessions) as session:
        model, label, questions = lease_questions(session, asked, reviewer)
    with transaction(sessions) as session:
        progress = count_progress(session, model, label, asked.library)
        hides = asked.strategy == Strategy.SUSPECT and may_hide_errors(session, model)
        return Batch(
            model, label, questions, progress, forecast(session, model, asked.library), [TRAINED_ON] * hides
        )


def lease_questions(
    session: Session, asked: Asked, reviewer: str
) -> tuple[Model, str | None, list[Question]]:
    """Lease tracks to ask about: the model, its spelling of the label, and the questions.

    Others who take questions wait until the transaction ends. Raises as `take_questions` does.
    """
    model = resolve_model(session, asked.model)
    label = None if asked.label is None else find_label(session, model, asked.label)
    if asked.label is not None and label is None:
        raise Invalid(f"The model {model.reference} has no label {asked.label!r}.")
    compares = asked.strategy == Strategy.DISAGREEMENT
    questions = store.take_questions(
        session,
        model,
        asked.strategy,
        asked.n,
        reviewer=reviewer,
        lease_s=asked.lease_s,
        label=label,
        library=asked.library,
        other=resolve_model(session, asked.other) if compares else None,
    )
    return model, label, questions


def forecast(session: Session, model: Model, library: str | None) -> Forecast:
    """From the learning curve of the training, and what has been corrected since it."""
    run = find_training(session, model)
    results = (run.results or {}) if run is not None else {}
    curve = results.get("learning_curve")
    if run is None or curve is None:
        return Forecast(reason=f"{model.reference} has no learning curve: {WHO_HAS_ONE}")
    unmeasured = list(results.get("unmeasured", {}))
    if curve["needed"] is None:
        return Forecast(reason=curve["reason"], unmeasured=unmeasured)
    wanted = None if library is None else get_library_by_name(session, library)
    tracks: dict[str, int] = results["tracks"]
    learnt_from = tracks.get("train", tracks["all"])  # the other parts of a single split measure

    def in_all(needed: int) -> int:
        return math.ceil(needed * tracks["all"] / learnt_from)

    most = in_all(max(curve[name] or 0 for name in ("needed", "low", "high")))
    since = count_corrected_since(
        session, wanted, run.created_at, new_to=model.id, at_most=max(0, most - tracks["all"])
    )

    def more(needed: int) -> int:
        return max(0, in_all(needed) - tracks["all"] - since)

    high = None if curve["high"] is None else more(curve["high"])
    return Forecast(more(curve["needed"]), more(curve["low"]), high, curve["plateau"], unmeasured=unmeasured)
