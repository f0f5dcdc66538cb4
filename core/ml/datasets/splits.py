"""Splits a dataset for training and evaluation, without dividing groups of related tracks."""

from collections.abc import Mapping, Sequence

import numpy as np

from core.config.dataset import SMALL, USUAL_FOLDS, SplitConfig
from core.ml.datasets.errors import TooFewGroups
from core.ml.datasets.examples import Dataset, Example, Part
from core.ml.datasets.groups import Groups, same_artist, same_origin
from core.ml.datasets.split_report import Origin, Split, report_of
from core.ml.datasets.stratify import Ints, allocate

# Priority of the parts for labels with few groups: a label with two groups is in the training and test part.
_PRIORITY = (Part.TRAIN, Part.TEST, Part.VALIDATION)
# Largest share of tracks with groups in two parts for which the published split is used, without them.
_MAX_LEFT_OUT = 0.1

Hashes = Mapping[str, bytes]  # example id -> content hash, if known


def split(dataset: Dataset, config: SplitConfig | None = None, hashes: Hashes | None = None) -> Split:
    """The dataset's own split if complete, else a stratified split by artist. Raises TooFewGroups."""
    config = config or SplitConfig()
    warnings: list[str] = []
    if config.own and (own := _own_split(dataset, hashes, warnings)):
        return own
    return _by_artist(dataset, config, hashes, warnings)


def _by_artist(
    dataset: Dataset, config: SplitConfig, hashes: Hashes | None, warnings: Sequence[str]
) -> Split:
    groups = same_origin(dataset.examples, hashes)
    shares = {
        Part.TRAIN: 1 - config.validation - config.test,
        Part.VALIDATION: config.validation,
        Part.TEST: config.test,
    }
    if groups.count < len(shares):
        raise TooFewGroups(f"{dataset.name} has {groups.count} artists; a split needs at least three.")
    numbers = _allocate(dataset.examples, groups, list(shares.values()), config.seed or 0)
    parts = [list(shares)[number] for number in numbers]
    return _as_split(dataset.examples, parts, "by_artist", groups, warnings)


def divide(dataset: Dataset, config: SplitConfig, hashes: Hashes | None = None) -> tuple[Split, ...]:
    """The split for training, or those of a cross-validation. Raises TooFewGroups."""
    warnings: list[str] = []
    count = config.folds or 1
    if config.depends_on_size and len(dataset.examples) < SMALL:
        if config.own and (own := _own_split(dataset, hashes, warnings)):
            return (own,)
        count = max(2, min(USUAL_FOLDS, same_origin(dataset.examples, hashes).count))
    if count == 1:
        return (split(dataset, config, hashes),)
    found = folds(dataset, count, config.seed or 0, hashes, warnings)
    return tuple(fold for fold in found if fold.test)  # with few groups a fold may be empty


def folds(
    dataset: Dataset, k: int, seed: int = 0, hashes: Hashes | None = None, warnings: Sequence[str] = ()
) -> tuple[Split, ...]:
    """Cross-validation: each track is in the test part of one of `k` splits without validation parts."""
    groups = same_origin(dataset.examples, hashes)
    if k < 2 or groups.count < k:
        raise TooFewGroups(f"{dataset.name} has {groups.count} artists, which is too few for {k} folds.")
    numbers = _allocate(dataset.examples, groups, [1 / k] * k, seed)
    splits = []
    for fold in range(k):
        parts = [Part.TEST if number == fold else Part.TRAIN for number in numbers]
        splits.append(_as_split(dataset.examples, parts, "fold", groups, warnings))
    return tuple(splits)


def _own_split(dataset: Dataset, hashes: Hashes | None, warnings: list[str]) -> Split | None:
    """The published split, if every track has a part and almost no artist is in two; else adds a warning."""
    without = sum(example.part is None for example in dataset.examples)
    if without == len(dataset.examples):
        return None
    groups = same_artist(dataset.examples, hashes)
    leaking = _in_two_parts(dataset.examples, groups)
    kept = [number for number in range(len(dataset.examples)) if number not in leaking]
    examples = [dataset.examples[number] for number in kept]
    parts = [example.part for example in examples if example.part is not None]
    reason = None
    if without:
        reason = f"{without} tracks have no part"
    elif len(leaking) > _MAX_LEFT_OUT * len(dataset.examples):
        reason = f"of {len(leaking)} tracks the artist or a copy is also in another part"
    elif len(set(parts)) < len(Part):
        reason = "it has no train, validation or test part"
    if reason:
        warnings.append(f"The dataset's own split is not used: {reason}.")
        return None
    if leaking:
        warnings.append(
            f"{len(leaking)} tracks are left out: their artist or a copy is also in another part."
        )
    left_out = tuple(dataset.examples[number].id for number in sorted(leaking))
    groups = Groups(tuple(groups.of[number] for number in kept), groups.grouped_by)
    return _as_split(examples, parts, "own", groups, warnings, left_out)


def _in_two_parts(examples: Sequence[Example], groups: Groups) -> set[int]:
    """Examples to drop so that each group is in one part; the test part has priority, then validation."""
    ranks = {Part.TEST: 0, Part.VALIDATION: 1, Part.TRAIN: 2, None: 3}
    best = dict.fromkeys(groups.of, len(ranks))
    for example, group in zip(examples, groups.of, strict=True):
        best[group] = min(best[group], ranks[example.part])
    numbered = enumerate(zip(examples, groups.of, strict=True))
    return {number for number, (example, group) in numbered if ranks[example.part] > best[group]}


def _allocate(examples: Sequence[Example], groups: Groups, shares: Sequence[float], seed: int) -> list[int]:
    """Index of the part of each example."""
    labels = sorted({label for example in examples for label in example.labels})
    columns = {label: column for column, label in enumerate(labels)}
    counts: Ints = np.zeros((groups.count, len(labels)), np.int64)
    for example, group in zip(examples, groups.of, strict=True):
        counts[group, [columns[label] for label in set(example.labels)]] += 1
    sizes = np.bincount(groups.of, minlength=groups.count)
    order = [list(Part).index(part) for part in _PRIORITY] if len(shares) == 3 else range(len(shares))
    parts = allocate(counts, sizes, shares, order, seed)
    return [int(parts[group]) for group in groups.of]


def _as_split(
    examples: Sequence[Example],
    parts: Sequence[Part],
    origin: Origin,
    groups: Groups,
    warnings: Sequence[str],
    left_out: tuple[str, ...] = (),
) -> Split:
    of_part = {
        part: tuple(example for example, found in zip(examples, parts, strict=True) if found == part)
        for part in Part
    }
    report = report_of(of_part, origin, groups, warnings, left_out)
    return Split(of_part[Part.TRAIN], of_part[Part.VALIDATION], of_part[Part.TEST], report)
