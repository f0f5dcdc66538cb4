"""What commands say: sentences, JSON, and values in words. Own sentences are ASCII."""

import json
from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel

from api import schemas
from core.output.tables import Cell, Name, Tenths, show_table
from core.output.terminal import complain, console, errors, note, say
from core.states import LabelSource, Verdict

__all__ = ["Cell", "Name", "Tenths", "complain", "console", "errors", "note", "say", "show_table"]

TOP_LABELS = 3


def show_json(answer: BaseModel | Sequence[BaseModel]) -> None:
    """An answer of REST; a list as its page."""
    shape = answer if isinstance(answer, BaseModel) else schemas.Page[BaseModel](items=list(answer))
    shown = shape.model_dump(mode="json", serialize_as_any=True)
    console.file.write(json.dumps(shown, indent=2, ensure_ascii=False) + "\n")


def show_answer(answer: BaseModel | None, sentence: str, *, as_json: bool) -> None:
    """The answer of REST as JSON, `null` where it has no content; else a sentence."""
    if not as_json:
        say(sentence)
    elif answer is None:
        console.file.write("null\n")
    else:
        show_json(answer)


def refused_of(track: schemas.Track) -> str:
    """Labels that people said a track does not have."""
    return ", ".join(label for label, verdict in track.corrections.items() if verdict == Verdict.NO)


def labels_of(prediction: schemas.Prediction, top: int = TOP_LABELS) -> str:
    """`jazz (corrected), piano 0.41`."""
    return ", ".join(map(label_of, prediction.labels[:top])) or "no label"


def label_of(given: schemas.Label) -> str:
    certainty = "(corrected)" if given.source == LabelSource.CORRECTED else f"{given.score:.2f}"
    return f"{given.label} {certainty}"


def date_of(when: datetime | None) -> str:
    return when.astimezone().strftime("%Y-%m-%d %H:%M") if when else ""


def duration_of(seconds: float) -> str:
    """`8 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`: the two largest units."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, hours = whole // 60, whole // 3600
    if minutes < 60:
        return _in_two_units(minutes, "min", whole % 60, "s")
    if hours < 24:
        return _in_two_units(hours, "h", minutes % 60, "min")
    return _in_two_units(hours // 24, "d", hours % 24, "h")


def _in_two_units(count: int, unit: str, rest: int, smaller_unit: str) -> str:
    return f"{count} {unit} {rest} {smaller_unit}" if rest else f"{count} {unit}"


def time_left(seconds: float) -> str:
    """`40 s left`, `15 min left`, `2 h 10 min left`: an estimate, without the seconds of a minute."""
    return f"{duration_of(seconds if seconds < 59.5 else 60 * round(seconds / 60))} left"


def count_of(count: int, noun: str) -> str:
    """`1 track`, `2 tracks`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def tenths_of(value: float | None) -> Tenths | None:
    return None if value is None else Tenths(value)


def megabytes_of(size: int | None) -> Tenths | None:
    """Of a number of bytes, to a tenth also through a pipe."""
    return None if size is None else Tenths(round(size / 1e6, 1))


def number_of(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
