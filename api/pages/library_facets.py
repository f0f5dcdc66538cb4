"""Counts of what tracks have, as groups of links that narrow the choice or widen it again."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from api.pages.library_choice import Choice
from core.label_scores import LabelScores
from core.library.label_facets import ERA, GENRE, MOOD, VOICES, facet_of
from core.spelling import name_key
from core.store.facets import Facets

SHOWN = 8  # values of a group; the rest is folded
LABELS = {GENRE: "Genre", MOOD: "Mood", ERA: "Era", VOICES: "Instruments and voice"}
OTHER_LABELS = "Other labels"


@dataclass(frozen=True)
class Value:
    """Something that tracks have; its address adds it to the choice, or removes it if it is chosen.

    That of a label which no track has ranks all tracks by its score.
    """

    text: str
    count: int
    address: str
    is_chosen: bool = False
    without: str | None = None  # the address that excludes it
    ranks: bool = False  # it orders all tracks


@dataclass(frozen=True)
class Group:
    title: str
    values: Sequence[Value]
    more: Sequence[Value] = ()


def group_facets(choice: Choice, found: Facets, known_labels: Iterable[str]) -> list[Group]:
    """Groups that are not empty. `known_labels` that no track has end their groups."""
    groups = [_cut(title, values) for title, values in _labels(choice, found, known_labels).items()]
    groups.append(_cut("State", _states(choice, found)))
    groups.append(_cut("Library", _values(choice, "library", found.libraries) if _has_choice(found) else []))
    groups.append(_cut("Kind of file", _values(choice, "suffix", found.suffixes)))
    years = dict(sorted(found.years.items(), reverse=True))
    groups.append(_cut("Year", _values(choice, "year", years)))
    return [group for group in groups if group.values]


def _cut(title: str, values: Sequence[Value]) -> Group:
    """What is chosen is never folded."""
    first = [each for place, each in enumerate(values) if place < SHOWN or each.is_chosen]
    return Group(title, first, [each for each in values if each not in first])


def _has_choice(found: Facets) -> bool:
    return len(found.libraries) > 1


def _labels(choice: Choice, found: Facets, known_labels: Iterable[str]) -> dict[str, list[Value]]:
    counts = [(each.label, each.facet, each.count) for each in found.labels]
    counted = {name_key(label) for label, _, _ in counts}
    counts += [(label, facet_of(label), 0) for label in known_labels if name_key(label) not in counted]
    groups: dict[str, list[Value]] = defaultdict(list, {title: [] for title in LABELS.values()})
    others: list[Value] = []
    for label, facet, count in counts:
        title = LABELS.get(facet or "", (facet or "").capitalize())
        (groups[title] if title else others).append(_label(choice, label, count))
    return groups | {OTHER_LABELS: others}


def _label(choice: Choice, label: str, count: int) -> Value:
    kept = tuple(each for each in choice.labels if name_key(each.label) != name_key(label))
    if len(kept) < len(choice.labels):
        return Value(label, count, f"?{choice.query(labels=kept)}", is_chosen=True)
    # One that no track has is more use as an order of all tracks.
    this = LabelScores(label) if count else LabelScores(label, 0.0)
    return Value(
        label,
        count,
        f"?{choice.query(labels=(*choice.labels, this))}",
        without=f"?{choice.query(not_labels=(*choice.not_labels, this))}" if count else None,
        ranks=not count,
    )


def _states(choice: Choice, found: Facets) -> list[Value]:
    missing = "file is missing" if found.missing_exact else "file is missing, about"
    states = [
        ("corrected by people", found.corrected, "corrected", choice.corrected is True),
        ("somebody was unsure", found.unsure, "unsure", choice.unsure),
        (missing, found.missing, "missing", choice.missing),
    ]
    return [
        Value(text, count, f"?{choice.query(**{name: None if is_chosen else True})}", is_chosen)
        for text, count, name, is_chosen in states
        if count or is_chosen
    ]


def _values(choice: Choice, name: str, counts: Mapping[str, int]) -> list[Value]:
    chosen = str(getattr(choice, name))
    return [
        Value(text, count, f"?{choice.query(**{name: None if text == chosen else text})}", text == chosen)
        for text, count in counts.items()
    ]
