"""The labels of a track as a reviewer is asked about them, and what the form says of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import FormData

from api import schemas
from core.spelling import name_key
from core.states import Verdict
from core.store.predictions import given_labels
from core.store.tables import Model
from core.store.tracks import TrackRow

KEYS = "1234567890qwert"  # a label each; the others have none
SAID, BEFORE = "verdict.", "before."  # what names of fields begin with, before the label


@dataclass(frozen=True)
class Choice:
    """A label to say something of."""

    label: str
    score: float | None = None  # of the model, 0 to 1; None if it does not have the label
    threshold: float | None = None
    is_given: bool = False  # by the model
    before: str = ""  # what people have said
    said: str = ""  # what is filled in
    key: str = ""


def list_choices(
    model: Model, row: TrackRow, others: Iterable[str], said: Mapping[str, str] | None
) -> list[Choice]:
    """All labels of the model and `others`, those to decide first come first.

    These are the ones that the model gives, those that people have said something of, then those that the
    model nearly gives. `said` is what has been filled in, by label, if that is not what people said before.
    """
    scores = row.prediction.scores if row.prediction else [None] * len(model.labels)
    given = {each.label for each in given_labels(model, row.prediction.scores)} if row.prediction else set()
    before = {name_key(label): str(verdict) for label, verdict in row.corrections.items()}
    filled = before if said is None else {name_key(label): verdict for label, verdict in said.items()}

    def choose(label: str, score: float | None, threshold: float | None) -> Choice:
        key = name_key(label)
        return Choice(label, score, threshold, label in given, before.get(key, ""), filled.get(key, ""))

    found = [choose(*each) for each in zip(model.labels, scores, model.thresholds, strict=True)]
    known = {name_key(label) for label in model.labels}
    found += [choose(label, None, None) for label in others if name_key(label) not in known]
    return sorted(found, key=_order)


def with_keys(choices: Iterable[Choice]) -> list[Choice]:
    """As many as there are keys, each with its own."""
    return [Choice(**vars(each) | {"key": key}) for each, key in zip(choices, KEYS, strict=False)]


def _order(choice: Choice) -> tuple[bool, bool, bool, float]:
    score, threshold = choice.score or 0.0, choice.threshold or 0.0
    distance = -score if choice.is_given else threshold - score
    return (not choice.is_given, not choice.before, choice.score is None, distance)


def read_said(form: FormData) -> dict[str, str]:
    """What the form says of each label that it shows; empty for nothing."""
    return {name.removeprefix(SAID): str(value) for name, value in form.items() if name.startswith(SAID)}


def read_verdicts(form: FormData) -> dict[str, str | None]:
    """What the form says of labels; None for those of which it withdraws what was said before."""
    return {
        label: verdict or None
        for label, verdict in read_said(form).items()
        if verdict or form.get(BEFORE + label)
    }


def agreed(model: Model, row: TrackRow, verdicts: Mapping[str, str | None]) -> dict[str, str | None]:
    """These verdicts, and yes to whatever else the model gives."""
    decided = {name_key(label) for label in verdicts}
    given = given_labels(model, row.prediction.scores) if row.prediction else []
    more = {each.label: str(Verdict.YES) for each in given if name_key(each.label) not in decided}
    return {**verdicts, **more}


def check(verdicts: Mapping[str, str | None]) -> dict[str, Verdict | None]:
    """As REST takes them. Raises RequestValidationError."""
    try:
        return schemas.CorrectionRequest.model_validate({"labels": verdicts}).labels
    except ValidationError as error:
        mistakes = [each | {"loc": ("body", *each["loc"])} for each in error.errors()]
        raise RequestValidationError(mistakes) from None
