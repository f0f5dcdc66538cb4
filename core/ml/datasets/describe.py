"""Describes a dataset, and the split that training would use."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.config.dataset import LabelConfig, SplitConfig
from core.errors import Invalid
from core.ml.datasets.credits import credited
from core.ml.datasets.examples import Dataset, Example, MergedLabel, Part, in_order
from core.ml.datasets.groups import known_name
from core.ml.datasets.labels import select_labels
from core.ml.datasets.probe import Probed, Unusable, probe
from core.ml.datasets.split_report import Split, SplitReport
from core.ml.datasets.splits import divide


@dataclass(frozen=True)
class LabelCount:
    label: str
    tracks: int
    artists: int  # known ones


@dataclass(frozen=True)
class Durations:
    """Durations of the decodable files in seconds."""

    total_s: float
    shortest_s: float
    median_s: float
    longest_s: float
    each_s: tuple[float, ...]


@dataclass(frozen=True)
class Description:
    name: str
    tracks: int
    unlabelled: int
    labels: tuple[LabelCount, ...]  # most frequent first
    merged: tuple[MergedLabel, ...]  # labels with several spellings
    labels_per_track: Mapping[int, int]  # number of labels -> number of tracks
    artists: int
    albums: int
    durations: Durations | None  # None if no file was opened or decoded
    unusable: tuple[Unusable, ...]
    unreadable_tags: Mapping[Path, str]  # errors of tags that cannot be read completely
    split: SplitReport | None  # the first of a cross-validation; None if it cannot be split
    parts: Mapping[str, Mapping[str, int]]  # name of a part, or of a fold's test part -> label -> tracks
    obstacle: str | None  # why a model cannot be trained on it
    unmeasured: tuple[LabelCount, ...]  # all their tracks are tested in one fold, without having been learnt


ALL_LABELS, USUAL_SPLIT = LabelConfig(), SplitConfig()


def describe(
    dataset: Dataset,
    labels: LabelConfig = ALL_LABELS,
    split: SplitConfig = USUAL_SPLIT,
    open_files: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
) -> Description:
    """Counts of a dataset, and the split that training would use.

    With `open_files`, opens every audio file and calls `on_progress(done, total)`.
    """
    dataset = in_order(dataset)
    found = _probe_all(dataset, on_progress) if open_files else {}
    seconds = [one.duration_s for one in found.values() if isinstance(one, Probed)]
    unusable = [one for one in found.values() if isinstance(one, Unusable)]
    dataset = replace(dataset, examples=tuple(_credited(one, found) for one in dataset.examples))
    broken = {one.path for one in unusable}
    usable = replace(dataset, examples=tuple(one for one in dataset.examples if one.path not in broken))
    contents = {path: one.content for path, one in found.items() if isinstance(one, Probed)}
    hashes = {one.id: contents[one.path] for one in usable.examples if one.path in contents}
    splits: tuple[Split, ...] = ()
    obstacle = None
    try:
        splits = divide(select_labels(usable, labels).dataset, split, hashes)
    except Invalid as error:
        obstacle = error.detail
    counts = _label_counts(dataset.examples)
    return Description(
        name=dataset.name,
        tracks=len(dataset.examples),
        unlabelled=sum(not example.labels for example in dataset.examples),
        labels=counts,
        merged=dataset.merged,
        labels_per_track=dict(sorted(Counter(len(one.labels) for one in dataset.examples).items())),
        artists=len({known_name(one.artist) for one in dataset.examples} - {None}),
        albums=len({known_name(one.album) for one in dataset.examples} - {None}),
        durations=_durations(seconds),
        unusable=tuple(unusable),
        unreadable_tags={
            path: one.tags_error
            for path, one in found.items()
            if isinstance(one, Probed) and one.tags_error is not None
        },
        split=splits[0].report if splits else None,
        parts=_parts(splits),
        obstacle=obstacle,
        unmeasured=tuple(each for each in counts if _is_unmeasured(each.label, splits)),
    )


def _is_unmeasured(label: str, splits: Sequence[Split]) -> bool:
    """Whether a cross-validation learns a label, but tests it only in the fold that has not learnt it."""
    counts = [split.report.labels[label] for split in splits if label in split.report.labels]
    return len(counts) > 1 and not any(each[Part.TRAIN] and each[Part.TEST] for each in counts)


def _parts(splits: Sequence[Split]) -> dict[str, Mapping[str, int]]:
    """Tracks per label of each part, or of each fold's test part."""
    if len(splits) == 1:
        return {str(part): _of_part(splits[0].report, part) for part in Part}
    return {f"fold {number}": _of_part(fold.report, Part.TEST) for number, fold in enumerate(splits, 1)}


def _of_part(report: SplitReport, part: Part) -> dict[str, int]:
    return {label: counts[part] for label, counts in report.labels.items()}


def _probe_all(
    dataset: Dataset, on_progress: Callable[[int, int], None] | None
) -> dict[Path, Probed | Unusable]:
    paths = list(dict.fromkeys(example.path for example in dataset.examples))
    found: dict[Path, Probed | Unusable] = {}
    for done, path in enumerate(paths, 1):
        found[path] = probe(path, dataset.root)
        if on_progress is not None:
            on_progress(done, len(paths))
    return found


def _credited(example: Example, found: Mapping[Path, Probed | Unusable]) -> Example:
    probed = found.get(example.path)
    return credited(example, probed.credits) if isinstance(probed, Probed) else example


def _label_counts(examples: Iterable[Example]) -> tuple[LabelCount, ...]:
    tracks: Counter[str] = Counter()
    artists: dict[str, set[str]] = defaultdict(set)
    for example in examples:
        tracks.update(example.labels)
        artist = known_name(example.artist)
        for label in example.labels:
            artists[label].update({artist} if artist else ())
    ordered = sorted(tracks, key=lambda label: (-tracks[label], label))
    return tuple(LabelCount(label, tracks[label], len(artists[label])) for label in ordered)


def _durations(seconds: list[float]) -> Durations | None:
    if not seconds:
        return None
    median = statistics.median(seconds)
    return Durations(sum(seconds), min(seconds), median, max(seconds), tuple(seconds))
