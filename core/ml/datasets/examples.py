"""Datasets and their examples, independent of the format."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Self


class Part(StrEnum):
    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True)
class Example:
    """A labelled track."""

    id: str  # unique in its dataset
    path: Path
    labels: tuple[str, ...]  # unique; may be empty
    artist: str | None = None  # tracks by one artist are never in two parts of a split
    album: str | None = None
    part: Part | None = None  # of the dataset's own split
    content: str | None = None  # hex hash of its audio, if known; then its artist and album are too

    def with_labels(self, labels: tuple[str, ...]) -> Self:
        """This example if these are its labels, as they mostly are: a copy takes longer than to compare."""
        return self if labels == self.labels else replace(self, labels=labels)


@dataclass(frozen=True)
class MergedLabel:
    """A label that occurs in several spellings."""

    label: str  # the chosen spelling
    spellings: tuple[tuple[str, int], ...]  # each spelling with its number of tracks


@dataclass(frozen=True)
class Dataset:
    name: str
    examples: tuple[Example, ...]  # in a fixed order
    parents: Mapping[str, str] = field(
        default_factory=dict
    )  # label -> parent label, if labels form a hierarchy
    root: Path | None = None  # no file outside it is opened, and no link below it followed
    merged: tuple[MergedLabel, ...] = ()
    keeps_unlabelled: bool = False  # an example without labels has none of them, rather than unknown ones
    notes: tuple[str, ...] = ()  # what users should know of it, in sentences


def in_order(dataset: Dataset) -> Dataset:
    """The dataset sorted by example id, so that results do not depend on the order of a listing."""
    return replace(dataset, examples=tuple(sorted(dataset.examples, key=lambda example: example.id)))
