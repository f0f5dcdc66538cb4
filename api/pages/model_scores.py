"""The scores of held-out tracks on the page of a model: reliability, and what a threshold decides.

They come from `score_counts.json` and `test_results.json`, which `GET /runs/{id}/artifacts/{name}` has too.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from core.errors import ArtifactNotFound
from core.store.experiments import read_artifact
from core.store.tables import Run

COUNTS_FILE, RESULTS_FILE = "score_counts.json", "test_results.json"
MOST_IN_MATRIX = 30  # labels; their number of cells is quadratic
MOST_PAIRS = 12
SHADES = 9  # of a matrix, besides none; style sheets name them


@dataclass(frozen=True)
class Decided:
    """What a threshold decides on the held-out tracks."""

    step: int  # of the scale on which scores are counted
    threshold: float
    given: int  # tracks
    right: int  # of these
    having: int  # tracks that have the label

    @property
    def precision(self) -> float | None:
        return self.right / self.given if self.given else None

    @property
    def recall(self) -> float | None:
        return self.right / self.having if self.having else None


@dataclass(frozen=True)
class Bin:
    """Scores between two tenths of the scale."""

    low: float
    high: float
    number: int
    mean: float | None  # score; None without any
    share: float | None  # of those that have the label


@dataclass(frozen=True)
class Reliability:
    bins: list[Bin]
    error: float | None  # expected calibration error

    @property
    def most(self) -> int:
        return max((each.number for each in self.bins), default=0)


@dataclass(frozen=True)
class LabelScores:
    """The held-out scores of one label. `counts`: rows of a step, tracks without and with the label there."""

    label: str
    steps: int
    counts: list[list[int]]
    reliability: Reliability

    @property
    def having(self) -> int:
        """Tracks that have the label."""
        return sum(row[2] for row in self.counts)

    def decide(self, threshold: float) -> Decided:
        """To the next step."""
        step = round(threshold * self.steps)
        above = [row for row in self.counts if row[0] >= step]
        right = sum(row[2] for row in above)
        given = right + sum(row[1] for row in above)
        return Decided(step, step / self.steps, given, right, self.having)

    @property
    def curve(self) -> str:
        """Recall to the right and precision upwards, in hundredths, as the attribute of a polyline."""
        points: list[str] = []
        having, given, right = self.having, 0, 0
        for _, without, with_label in reversed(self.counts):
            right += with_label
            given += without + with_label
            point = f"{100 * right / having:.1f},{100 - 100 * right / given:.1f}"
            if points[-1:] != [point]:
                points.append(point)
        return " ".join(points)


@dataclass(frozen=True)
class HeldOut:
    """The scores of all labels that can be measured, the most frequent label first."""

    tracks: int
    of_decisions: bool  # `reliability` is of each track's highest score, else of all scores
    reliability: Reliability
    labels: list[LabelScores]

    def find(self, label: str | None) -> LabelScores | None:
        """The scores of this label, of the most frequent one if none is named; None if it is not measured."""
        if label is None:
            return next(iter(self.labels), None)
        return next((each for each in self.labels if each.label == label), None)


def read_held_out(session: Session, run: Run) -> HeldOut | None:
    """None of trainings that have not stored the counts of their scores."""
    content = _read(session, run, COUNTS_FILE)
    if content is None:
        return None
    steps = content["steps"]
    labels = [
        LabelScores(each["label"], steps, each["counts"], _reliability(each))
        for each in content["labels"]
        if each.get("counts")
    ]
    return HeldOut(
        content["tracks"],
        content["bins_of"] == "decisions",
        _reliability(content),
        sorted(labels, key=lambda each: -each.having),
    )


@dataclass(frozen=True)
class Cell:
    tracks: int
    shade: int  # 0 for none, up to SHADES for all tracks of the row


@dataclass(frozen=True)
class Pair:
    """How many of the tracks with a label were given another one."""

    label: str
    given: str
    tracks: int
    of: int


@dataclass(frozen=True)
class Matrix:
    """Tracks by the label that they have (row) and the one they were given (column)."""

    labels: Sequence[str]
    rows: list[list[Cell]]
    pairs: list[Pair]  # of two labels, the largest shares first


def read_matrix(session: Session, run: Run, labels: Sequence[str], supports: Sequence[int]) -> Matrix | None:
    """None of trainings whose files are gone, and of too many labels: their picture shows them."""
    if not 2 <= len(labels) <= MOST_IN_MATRIX:
        return None
    counts = (_read(session, run, RESULTS_FILE) or {}).get("co_occurrence")
    if counts is None or len(counts) != len(labels):
        return None
    pairs = [
        Pair(label, given, tracks, of)
        for label, row, of in zip(labels, counts, supports, strict=True)
        for given, tracks in zip(labels, row, strict=True)
        if label != given and tracks
    ]
    return Matrix(
        labels,
        [
            [Cell(tracks, _shade(tracks, of)) for tracks in row]
            for row, of in zip(counts, supports, strict=True)
        ],
        sorted(pairs, key=lambda pair: (-pair.tracks / max(1, pair.of), -pair.tracks))[:MOST_PAIRS],
    )


def _shade(tracks: int, of: int) -> int:
    return min(SHADES, -(-SHADES * tracks // of)) if of else 0


def _reliability(content: dict[str, Any]) -> Reliability:
    rows = content["bins"]
    return Reliability(
        [
            Bin(place / len(rows), (place + 1) / len(rows), number, mean, having / number if number else None)
            for place, (number, mean, having) in enumerate(rows)
        ],
        content["calibration_error"],
    )


def _read(session: Session, run: Run, name: str) -> dict[str, Any] | None:
    try:
        return dict(json.loads(read_artifact(session, run.id, name)))
    except ArtifactNotFound:
        return None
