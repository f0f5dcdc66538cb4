"""Which tracks the page of the library shows, and in which order: what its address says, and its form."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, Query
from pydantic import BeforeValidator, Field

from api.deps import ModelName
from api.pages.forms import Blank
from api.track_filters import MOST_GENRES, NO_LABELS, LabelName
from core.config.track_query import SUFFIX
from core.errors import Invalid
from core.label_scores import LabelScores, read_label
from core.services.track_queries import of_file
from core.states import TrackOrder
from core.store.track_filters import TrackFilter

WITH, WITHOUT = "with", "without"
NamedOnes = BeforeValidator(lambda values: [value for value in values if value])
Labels = Annotated[list[LabelName], NamedOnes, Query(max_length=MOST_GENRES)]
Score = Annotated[Annotated[float, Field(ge=0, le=1)] | None, Blank, Query()]
Scores = Annotated[
    list[Annotated[Annotated[float, Field(ge=0, le=1)] | None, Blank]], Query(max_length=2 * MOST_GENRES)
]
Text = Annotated[Annotated[str, Field(max_length=200)] | None, Blank, Query()]
NO_SCORES: list[float | None] = []


@dataclass(frozen=True)
class Choice:
    """What the address of the page says."""

    labels: tuple[LabelScores, ...]
    not_labels: tuple[LabelScores, ...]
    text: str | None
    q: str | None
    library: str | None
    suffix: str | None
    year: int | None
    missing: bool
    corrected: bool | None
    unsure: bool
    unreadable_tags: bool
    sort: TrackOrder | None
    model: str

    @property
    def wanted(self) -> TrackFilter:
        """Raises Invalid for a text without words."""
        return TrackFilter(
            genre=self.labels[0] if self.labels else None,
            genres_too=self.labels[1:],
            not_genres=self.not_labels,
            library=self.library,
            q=self.q,
            **of_file(self.text, self.suffix, self.year),
            missing=self.missing,
            corrected=self.corrected,
            unsure=self.unsure,
            unreadable_tags=self.unreadable_tags,
        )

    @property
    def is_narrow(self) -> bool:
        """Whether it uses what the form keeps closed."""
        flags = (self.missing, self.corrected is not None, self.unsure, self.unreadable_tags)
        return any((*flags, self.suffix, self.year is not None))

    @property
    def order(self) -> TrackOrder | None:
        """By path if nothing else is asked for; the order by score needs a label."""
        if self.sort is TrackOrder.SCORE and not self.labels:
            return TrackOrder.PATH
        return self.sort or (TrackOrder.SCORE if self.labels else TrackOrder.PATH)

    def query(self, **changes: object) -> str:
        """The query that means this choice with changes of its fields, for the page and for REST."""
        changed = replace(self, **{name: value for name, value in changes.items() if name in FIELDS})  # type: ignore[arg-type]
        values: dict[str, object] = {
            "genre": [str(each) for each in changed.labels],
            "not_genre": [str(each) for each in changed.not_labels],
            "text": changed.text,
            "q": changed.q,
            "library": changed.library,
            "suffix": changed.suffix,
            "year": changed.year,
            "missing": "true" if changed.missing else None,
            "corrected": None if changed.corrected is None else str(changed.corrected).lower(),
            "unsure": "true" if changed.unsure else None,
            "unreadable_tags": "true" if changed.unreadable_tags else None,
            "sort": changed.sort,
            "model": None if changed.model == "default" else changed.model,
        }
        values |= {name: value for name, value in changes.items() if name not in FIELDS}
        return urlencode({name: value for name, value in values.items() if value is not None}, doseq=True)


FIELDS = frozenset(Choice.__dataclass_fields__)


async def get_choice(
    genre: Labels = NO_LABELS,
    not_genre: Labels = NO_LABELS,
    min_score: Score = None,
    max_score: Score = None,
    text: Text = None,
    q: Text = None,
    library: Text = None,
    suffix: Annotated[Annotated[str, Field(pattern=SUFFIX)] | None, Blank, Query()] = None,
    year: Annotated[Annotated[int, Field(ge=0, le=9999)] | None, Blank, Query()] = None,
    missing: bool = False,
    corrected: Annotated[bool | None, Blank, Query()] = None,
    unsure: bool = False,
    unreadable_tags: bool = False,
    sort: Annotated[TrackOrder | None, Blank, Query()] = None,
    model: ModelName = "default",
) -> Choice:
    """Raises Invalid for ranges of scores that are none."""

    def scored(text: str) -> LabelScores:
        found = read_label(text)
        return found if isinstance(found, LabelScores) else _label(found, min_score, max_score)

    return Choice(
        labels=tuple(dict.fromkeys(map(scored, genre))),
        not_labels=tuple(dict.fromkeys(_plain(read_label(each)) for each in not_genre)),
        text=text,
        q=q,
        library=library,
        suffix=suffix,
        year=year,
        missing=missing,
        corrected=corrected,
        unsure=unsure,
        unreadable_tags=unreadable_tags,
        sort=sort,
        model=model,
    )


ChoiceDep = Annotated[Choice, Depends(get_choice)]


def _plain(found: str | LabelScores) -> LabelScores:
    return LabelScores(found) if isinstance(found, str) else found


def _label(name: str, low: float | None, high: float | None) -> LabelScores:
    """Raises Invalid for a lowest score above the highest one."""
    most = 1.0 if high is None else high
    if low is not None and low > most:
        raise Invalid(f"The score of {name!r} cannot be from {low:g} to {most:g}: give the lower one first.")
    return LabelScores(name, 0.0 if low is None and most < 1 else low, most)


async def get_form(
    choice: ChoiceDep,
    label: Annotated[list[LabelName], Query(max_length=2 * MOST_GENRES)] = NO_LABELS,
    has: Annotated[list[str], Query(max_length=2 * MOST_GENRES)] = NO_LABELS,
    low: Scores = NO_SCORES,
    high: Scores = NO_SCORES,
    order: Annotated[str | None, Query(max_length=20)] = None,
) -> Choice | None:
    """The choice that the form of the page means; None if it is not sent.

    Its labels are rows of four fields. `order` is an order of tracks, or `score` with the number of the row
    whose score they are sorted by. Raises Invalid for rows that lack a field.
    """
    if not label:
        return None
    if not len(label) == len(has) == len(low) == len(high):
        raise Invalid("Every `label` of the form has one `has`, one `low` and one `high`.")
    wanted: dict[LabelScores, int] = {}
    unwanted: list[LabelScores] = []
    for number, (name, how, least, most) in enumerate(zip(label, has, low, high, strict=True)):
        if name.strip() and how == WITHOUT:
            unwanted.append(_label(name, least, most))
        elif name.strip():
            wanted.setdefault(_label(name, least, most), number)
    sort, first = _read_order(order)
    labels = sorted(wanted, key=lambda each: (wanted[each] != first, wanted[each]))
    return replace(choice, labels=tuple(labels), not_labels=tuple(dict.fromkeys(unwanted)), sort=sort)


FormDep = Annotated[Choice | None, Depends(get_form)]


def _read_order(order: str | None) -> tuple[TrackOrder | None, int | None]:
    """The order, and the row whose score it is of."""
    name, _, row = (order or "").partition(".")
    if not name:
        return None, None
    try:
        return TrackOrder(name), int(row) if row else None
    except ValueError:
        raise Invalid(f"Tracks have no order {order!r}.") from None


def orders(labels: Sequence[LabelScores]) -> list[tuple[str, str]]:
    """What tracks can be sorted by, as values of `order` and words."""
    scores = [(f"score.{number}", f"score of {each.label}") for number, each in enumerate(labels)]
    return [*scores, ("path", "path"), ("duration", "length"), ("date", "date of the file")]
