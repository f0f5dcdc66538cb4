"""Merges different spellings of labels in a dataset."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from core.ml.datasets.examples import Dataset, MergedLabel
from core.spelling import clean, name_key

_LISTED = 10  # maximum number of merged labels in a note


@dataclass(frozen=True)
class Spellings:
    """The chosen spelling of each name."""

    of: Mapping[str, str]  # key of the name -> spelling

    def label(self, found: str) -> str:
        return self.of.get(name_key(found), found)

    def labels(self, found: Iterable[str]) -> tuple[str, ...]:
        """The unique labels in their order."""
        return tuple(dict.fromkeys(map(self.label, found)))


def with_one_spelling(dataset: Dataset) -> Dataset:
    """The dataset with the most frequent spelling of each label, and a record of merged labels.

    Ties are broken by the order of code points.
    """
    found = Counter(label for example in dataset.examples for label in dict.fromkeys(example.labels))
    spellings = most_frequent(found, also=[*dataset.parents, *dataset.parents.values()])
    examples = tuple(example.with_labels(spellings.labels(example.labels)) for example in dataset.examples)
    parents: dict[str, str] = {}
    for child, parent in dataset.parents.items():
        if (label := spellings.label(child)) != spellings.label(parent):
            parents.setdefault(label, spellings.label(parent))
    merged = (*dataset.merged, *_merged(found, spellings))
    return replace(dataset, examples=examples, parents=parents, merged=merged)


def most_frequent(found: Mapping[str, int], also: Iterable[str] = ()) -> Spellings:
    """The most frequent spelling of each name in `found` (spelling -> tracks) and `also` (without tracks)."""
    cleaned: Counter[str] = Counter()
    for label in also:
        cleaned[clean(label)] += 0
    for label, tracks in found.items():
        cleaned[clean(label)] += tracks
    chosen: dict[str, str] = {}
    for label in sorted(cleaned, key=lambda label: (-cleaned[label], label)):
        if key := name_key(label):
            chosen.setdefault(key, label)
    return Spellings(chosen)


def _merged(found: Mapping[str, int], spellings: Spellings) -> tuple[MergedLabel, ...]:
    """Labels with several spellings, in alphabetical order."""
    variants: dict[str, list[str]] = defaultdict(list)
    for label in found:
        variants[spellings.label(label)].append(label)
    return tuple(
        MergedLabel(label, tuple((one, found[one]) for one in sorted(several, key=lambda s: (found[s], s))))
        for label, several in sorted(variants.items())
        if len(several) > 1
    )


def merged_note(merged: Iterable[MergedLabel]) -> str | None:
    """A note like `"rock" 12, "Rock" 30 -> "Rock"` about all merged labels; None if there are none."""
    shown = [
        ", ".join(f'"{spelling}" {tracks}' for spelling, tracks in one.spellings) + f' -> "{one.label}"'
        for one in merged
    ]
    if not shown:
        return None
    more = f"; and {len(shown) - _LISTED} more" if len(shown) > _LISTED else ""
    return f"Labels found in several spellings were merged: {'; '.join(shown[:_LISTED])}{more}."
