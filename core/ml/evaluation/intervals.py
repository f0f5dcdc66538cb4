"""Confidence intervals by bootstrap over artists, since tracks by one artist are not independent.

They say how much the metrics of this model, with its thresholds, would differ on other tracks of the same
kind; how much another training would differ is not part of them.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit
from scipy.stats import binomtest

from core.ml.evaluation.arrays import Floats, checked, logit, nan_mean, sigmoid
from core.ml.evaluation.metrics import track_f1
from core.ml.evaluation.ranking import Ranking

INTERVAL_METRICS = ("roc_auc_macro", "pr_auc_macro", "f1_micro", "f1_macro", "f1_samples")
_REPEATS = 1000
_BATCH = 50
MIN_GROUPS = 10  # with fewer, intervals are not meaningful


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

    AUCs are computed from scores (N, L), F1 from decisions (N, L), of labels that the model had learnt.
    `on_batch` is called every few resamples with the number of finished ones.
    """
    sample = _Sample(targets, scores, decisions)
    values = sample.measures(np.ones((1, len(groups))))[0]
    resampled: list[Floats] = []
    for weights in resamples(groups, repeats, seed):
        on_batch(sum(len(values) for values in resampled))
        resampled.append(sample.measures(weights))
    independent = len(set(groups))
    low, high = bounds(values, np.concatenate(resampled), independent)
    if independent < MIN_GROUPS:
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
        self._of_track = track_f1(truth, decided)

    def measures(self, weights: Floats) -> Floats:
        """`INTERVAL_METRICS` for each row of weights: (R, N) -> (R, 5)."""
        roc, precision = self._ranking.roc_auc_and_average_precision(weights)
        hits = weights @ self._hits
        truth = weights @ self._truth
        both = truth + weights @ self._decided
        f1 = np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0)
        f1[(truth == 0) | (truth == weights.sum(axis=1, keepdims=True))] = np.nan
        whole = both.sum(axis=1)
        columns = [
            [nan_mean(row) for row in roc],
            [nan_mean(row) for row in precision],
            np.divide(2 * hits.sum(axis=1), whole, out=np.full(len(weights), np.nan), where=whole > 0),
            [nan_mean(row) for row in f1],
            weights @ self._of_track / weights.sum(axis=1),
        ]
        return np.stack([np.asarray(column, np.float64) for column in columns], axis=1)


def resamples(groups: Sequence[Hashable], repeats: int, seed: int) -> Iterator[Floats]:
    """Number of times each track is drawn, in batches (R, N); whole groups are drawn with replacement."""
    numbers: dict[Hashable, int] = {}
    of_track = np.array([numbers.setdefault(group, len(numbers)) for group in groups])
    random = np.random.default_rng(seed)
    for start in range(0, repeats, _BATCH):
        size = min(_BATCH, repeats - start)
        drawn = random.multinomial(len(numbers), np.full(len(numbers), 1 / len(numbers)), size=size)
        yield drawn[:, of_track].astype(np.float64)


def bounds(values: Floats, resampled: Floats, groups: int) -> tuple[Floats, Floats]:
    """Lower and upper ends (K,) of 95 % intervals of measured values (K,), from resamples (R, K).

    Resamples repeat tracks, which shifts some metrics (average precision upwards), and their percentiles are
    too narrow for few groups. So intervals are those of Student's t with `groups` - 1 degrees of freedom, of
    the logits, which are nearly normal, with the bias taken off and added to the error. Half a success and
    half a failure are added to those of the groups first (Haldane, 1956; Anscombe, 1956): the resamples that
    happen to be perfect would stretch the interval of nine of ten over everything. They also contain the
    value, and the value with one more success and one more failure. All resamples of a perfect score are
    perfect, and say nothing: values of 0 and 1 have the exact interval (Clopper and Pearson, 1934) of none or
    all of the `groups`. NaN where no resample is defined.
    """
    known = ~np.isnan(resampled)
    count = known.sum(axis=0)
    logits, measured = (logit((each * groups + 0.5) / (groups + 1)) for each in (resampled, values))
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(known, logits, 0.0).sum(axis=0) / count
        variance = np.where(known, (logits - means) ** 2, 0.0).sum(axis=0) / count
        bias = means - measured
        reach = stdtrit(max(1, groups - 1), 0.975) * np.sqrt(variance + bias**2)
    pseudo = (values * groups + 1) / (groups + 2)
    ends = sigmoid(np.stack([measured - bias - reach, measured - bias + reach]))
    low, high = np.clip((ends * (groups + 1) - 0.5) / groups, 0, 1)
    low, high = np.minimum(np.minimum(low, values), pseudo), np.maximum(np.maximum(high, values), pseudo)
    share = binomtest(groups, groups).proportion_ci(0.95, method="exact").low
    low = np.where(values >= 1, np.minimum(low, share), low)
    return low, np.where(values <= 0, np.maximum(high, 1 - share), high)
