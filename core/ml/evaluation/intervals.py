"""Confidence intervals by bootstrap over artists, since tracks by one artist are not independent."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.ml.evaluation.arrays import Bools, Floats, checked, nan_mean
from core.ml.evaluation.ranking import Ranking

INTERVAL_METRICS = ("roc_auc_macro", "pr_auc_macro", "f1_micro", "f1_macro", "f1_samples")
_REPEATS = 1000
_BATCH = 50
_MIN_GROUPS = 5  # with fewer, intervals are not meaningful


@dataclass(frozen=True)
class Interval:
    """A metric with its 95 % confidence interval; NaN bounds if there are too few groups."""

    value: float
    low: float
    high: float


def confidence_intervals(
    targets: npt.ArrayLike,
    scores: npt.ArrayLike,
    decisions: npt.ArrayLike,
    groups: Sequence[Hashable],
    repeats: int = _REPEATS,
    seed: int = 0,
    on_batch: Callable[[int], None] = lambda _: None,
) -> dict[str, Interval]:
    """95 % confidence intervals of `INTERVAL_METRICS`, resampling `groups` (N,), the artist of each track.

    AUCs are computed from scores (N, L), F1 from decisions (N, L). `on_batch` is called every few resamples
    with the number of finished ones.
    """
    sample = _Sample(targets, scores, decisions)
    values = sample.measures(np.ones((1, len(groups))))[0]
    resampled: list[Floats] = []
    for weights in _resamples(groups, repeats, seed):
        on_batch(sum(len(values) for values in resampled))
        resampled.append(sample.measures(weights))
    low, high = _percentiles(np.concatenate(resampled))
    if len(set(groups)) < _MIN_GROUPS:
        low = high = np.full(len(INTERVAL_METRICS), np.nan)
    found = zip(INTERVAL_METRICS, values, low, high, strict=True)
    return {name: Interval(*map(float, numbers)) for name, *numbers in found}


class _Sample:
    """Scores and decisions of a model, prepared for computing metrics under many weightings."""

    def __init__(self, targets: npt.ArrayLike, scores: npt.ArrayLike, decisions: npt.ArrayLike) -> None:
        truth, given = checked(targets, scores)
        decided, _ = checked(decisions, scores)
        self._ranking = Ranking(truth, given)
        self._hits, self._truth, self._decided = (
            counted.astype(np.float64) for counted in (truth & decided, truth, decided)
        )
        self._of_track = _track_f1(truth, decided)

    def measures(self, weights: Floats) -> Floats:
        """`INTERVAL_METRICS` for each row of weights: (R, N) -> (R, 5)."""
        areas = [self._ranking.roc_auc_and_average_precision(row) for row in weights]
        hits = weights @ self._hits
        truth = weights @ self._truth
        both = truth + weights @ self._decided
        f1 = np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0)
        f1[truth == 0] = np.nan
        whole = both.sum(axis=1)
        columns = [
            [nan_mean(roc) for roc, _ in areas],
            [nan_mean(precision) for _, precision in areas],
            np.divide(2 * hits.sum(axis=1), whole, out=np.zeros(len(weights)), where=whole > 0),
            [nan_mean(row) for row in f1],
            weights @ self._of_track / weights.sum(axis=1),
        ]
        return np.stack([np.asarray(column, np.float64) for column in columns], axis=1)


def _track_f1(truth: Bools, decided: Bools) -> Floats:
    both = truth.sum(axis=1) + decided.sum(axis=1)
    hits = 2.0 * (truth & decided).sum(axis=1)
    return np.asarray(np.divide(hits, both, out=np.zeros(len(truth)), where=both > 0))


def _resamples(groups: Sequence[Hashable], repeats: int, seed: int) -> Iterator[Floats]:
    """Number of times each track is drawn, in batches (R, N); whole groups are drawn with replacement."""
    numbers: dict[Hashable, int] = {}
    of_track = np.array([numbers.setdefault(group, len(numbers)) for group in groups])
    random = np.random.default_rng(seed)
    for start in range(0, repeats, _BATCH):
        size = min(_BATCH, repeats - start)
        drawn = random.multinomial(len(numbers), np.full(len(numbers), 1 / len(numbers)), size=size)
        yield drawn[:, of_track].astype(np.float64)


def _percentiles(resampled: Floats) -> tuple[Floats, Floats]:
    """The 2.5th and 97.5th percentile of each column, ignoring NaN."""
    known = [column[~np.isnan(column)] for column in resampled.T]
    bounds = [np.percentile(column, (2.5, 97.5)) if len(column) else (np.nan, np.nan) for column in known]
    return np.array([low for low, _ in bounds]), np.array([high for _, high in bounds])
