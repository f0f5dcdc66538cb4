"""Splits of a dataset, with a report on each."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from core.ml.datasets.examples import Example, Part
from core.ml.datasets.groups import Groups

Origin = Literal["own", "by_artist", "fold"]
_LISTED = 10  # maximum number of labels in a warning


@dataclass(frozen=True)
class SplitReport:
    origin: Origin  # the dataset's own split, one made here, or a fold of a cross-validation
    tracks: Mapping[Part, int]
    labels: Mapping[str, Mapping[Part, int]]  # tracks per label and part
    missing: Mapping[Part, tuple[str, ...]]  # labels without any track in a part
    groups: int  # number of groups of tracks that must be in one part
    grouped_by: Mapping[str, int]  # number of tracks grouped by artist, album, folder or not at all
    left_out: tuple[str, ...]  # ids of tracks dropped because their group was in two parts of the own split
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Split:
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    report: SplitReport

    def part(self, part: Part) -> tuple[Example, ...]:
        return {Part.TRAIN: self.train, Part.VALIDATION: self.validation, Part.TEST: self.test}[part]


def report_of(
    parts: Mapping[Part, Sequence[Example]],
    origin: Origin,
    groups: Groups,
    warnings: Sequence[str],
    left_out: tuple[str, ...],
) -> SplitReport:
    """The report on a split; a label is missing from a part only if the part has tracks.

    That labels are missing from a fold is no warning: other folds have them, and so has the final model.
    """
    counts = {part: Counter(label for one in found for label in one.labels) for part, found in parts.items()}
    labels = sorted(set().union(*counts.values()))
    missing = {
        part: tuple(label for label in labels if found and not counts[part][label])
        for part, found in parts.items()
    }
    return SplitReport(
        origin=origin,
        tracks={part: len(found) for part, found in parts.items()},
        labels={label: {part: counts[part][label] for part in parts} for label in labels},
        missing=missing,
        groups=groups.count,
        grouped_by=groups.grouped_by,
        left_out=left_out,
        warnings=(
            *warnings,
            *_origin_warnings(origin, groups),
            *([] if origin == "fold" else _missing_warnings(missing)),
        ),
    )


def _origin_warnings(origin: Origin, groups: Groups) -> list[str]:
    if origin == "own":
        return []
    warnings = []
    for kind in ("album", "folder"):
        if count := groups.grouped_by.get(kind, 0):
            warnings.append(f"{count} tracks have no artist; those of one {kind} are kept together instead.")
    if count := groups.grouped_by.get("track", 0):
        warnings.append(f"{count} tracks have no artist and no album: one artist may be in several parts.")
    return warnings


def _missing_warnings(missing: Mapping[Part, Sequence[str]]) -> list[str]:
    warnings = []
    for part, labels in missing.items():
        if labels:
            more = f" and {len(labels) - _LISTED} more" if len(labels) > _LISTED else ""
            warnings.append(f"No {part} track has the label {', '.join(labels[:_LISTED])}{more}.")
    return warnings
