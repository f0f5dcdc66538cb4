"""What a dataset is to everything that learns from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path


class Part(StrEnum):
    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True)
class Example:
    """A labelled track."""

    id: str  # unique in its dataset
    path: Path
    labels: tuple[str, ...]  # each once; empty where the dataset has none for the track
    artist: str | None = None  # never in two parts of a split
    album: str | None = None
    part: Part | None = None  # of the dataset's own split


@dataclass(frozen=True)
class MergedLabel:
    """A label that was found in several spellings."""

    label: str  # the spelling that is used
    spellings: tuple[tuple[str, int], ...]  # each spelling as found, with its number of tracks


@dataclass(frozen=True)
class Dataset:
    name: str
    examples: tuple[Example, ...]  # in a fixed order
    parents: Mapping[str, str] = field(
        default_factory=dict
    )  # label -> parent label, where labels form a tree
    root: Path | None = None  # no file outside of it is opened, no link below it followed
    merged: tuple[MergedLabel, ...] = ()


def in_order(dataset: Dataset) -> Dataset:
    """By the examples' ids: nothing may depend on the order in which a database or a folder lists them."""
    return replace(dataset, examples=tuple(sorted(dataset.examples, key=lambda example: example.id)))
