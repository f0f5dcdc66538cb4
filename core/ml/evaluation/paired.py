"""The difference of two models on the same tracks, by paired bootstrap over artists.

Shapes: N tracks, L labels, R resamples.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from core.ml.evaluation.arrays import Bools, Floats, checked
from core.ml.evaluation.intervals import MIN_GROUPS, resamples

REPEATS = 2000


@dataclass(frozen=True)
class Difference:
    """Macro-F1 of two models on the same tracks, and second minus first with its 95 % confidence interval.

    The bounds are NaN if there are too few groups, and everything is if no track has any label.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    labels: int  # that some track has: the mean is over these
    groups: int  # artists, or tracks without one: what is resampled


def paired_difference(
    targets: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    groups: Sequence[Hashable],
    repeats: int = REPEATS,
    seed: int = 0,
) -> Difference:
    """Compare decisions (N, L) of two models. `groups` (N,): tracks of a group are not independent.

    Every resample draws whole groups, the same ones for both models, so what makes tracks hard for both
    cancels out. The interval is that of Student's t with one degree of freedom less than groups, with the
    bias of the resamples taken off and added to the error.
    """
    truth, _ = checked(targets, np.asarray(targets))
    one, other = (checked(decisions, np.asarray(targets))[0] for decisions in (first, second))
    independent = len(set(groups))
    before, after = (float(macro_f1(truth, each, np.ones((1, len(truth))))[0]) for each in (one, other))
    value = after - before
    drawn = np.concatenate(
        [
            macro_f1(truth, other, weights) - macro_f1(truth, one, weights)
            for weights in resamples(groups, repeats, seed)
        ]
    )
    drawn = drawn[~np.isnan(drawn)]
    low = high = float("nan")
    if independent >= MIN_GROUPS and len(drawn):
        bias = drawn.mean() - value
        reach = stdtrit(independent - 1, 0.975) * np.sqrt(drawn.var() + bias**2)
        low, high = max(-1.0, value - bias - reach), min(1.0, value - bias + reach)
    labels = int(truth.any(axis=0).sum())
    return Difference(before, after, value, float(low), float(high), labels, independent)


def macro_f1(truth: Bools, decisions: Bools, weights: Floats) -> Floats:
    """Macro-F1 (R,) of weighted tracks (R, N), over the labels that some drawn track has; NaN without any."""
    hits, has, given = (weights @ counted.astype(float) for counted in (truth & decisions, truth, decisions))
    f1 = np.divide(2 * hits, has + given, out=np.zeros_like(hits), where=has + given > 0)
    present = has > 0
    with np.errstate(invalid="ignore"):
        return np.asarray((f1 * present).sum(axis=1) / present.sum(axis=1))
