"""How many tracks a model needs, from scores after learning from fewer tracks.

The curve is an inverse power law, the usual form of learning curves (Viering and Loog, 2023, "The Shape of
Learning Curves: a Review"): `score(n) = plateau - b n^-c`.

Shapes: S sizes, K repetitions, N tracks, L labels, R resamples.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from core.ml.evaluation.arrays import Bools, Floats
from core.ml.evaluation.intervals import MIN_GROUPS, resamples
from core.ml.evaluation.paired import macro_f1

SHARE = 0.95  # of the plateau
FARTHEST = 10  # times the measured tracks; no figure is given beyond
RESAMPLES = 200
EXPONENTS = np.geomspace(0.1, 2.0, 25)


@dataclass(frozen=True)
class LearningCurve:
    """Macro-F1 by number of tracks, and how many tracks give `SHARE` of the plateau, as a 95 % interval.

    `needed` is None, with the reason, if that cannot be told; `high` is None if it is beyond what is told.
    """

    sizes: list[int]  # ascending: training tracks
    scores: list[float]  # mean macro-F1 of each size
    plateau: float | None = None  # that the fitted curve approaches
    needed: int | None = None
    low: int | None = None
    high: int | None = None
    reason: str | None = None


def fit_learning_curve(
    sizes: Sequence[int], targets: Bools, decisions: Bools, groups: Sequence[Hashable], seed: int = 0
) -> LearningCurve:
    """Fit the curve to decisions (S, K, N, L) on targets (N, L), by models trained on other tracks.

    Tracks are resampled by groups (N,), the same ones at all sizes, and repetitions with them; every resample
    has a curve of its own. The interval is that of the middle 95 % of what they need.
    """
    everything = np.ones((1, len(targets)))
    scores = [float(np.mean([macro_f1(targets, each, everything)[0] for each in size])) for size in decisions]
    measured = list(map(int, sizes))
    independent = len(set(groups))
    if independent < MIN_GROUPS:
        reason = f"The tracks are by {independent} artists; at least {MIN_GROUPS} are needed."
        return LearningCurve(measured, scores, reason=reason)
    needed, plateau = _needed(measured, np.array([scores]))
    drawn, _ = _needed(measured, _resampled(targets, decisions, groups, seed))
    low, high = np.quantile(drawn, (0.025, 0.975))
    limit = FARTHEST * measured[-1]
    if needed[0] > limit:
        reason = (
            f"The score still rises after learning from {measured[-1]} tracks: "
            "how many are needed is too far to tell."
        )
        return LearningCurve(measured, scores, reason=reason)
    if needed[0] <= measured[0]:
        reason = (
            f"The score does not rise with the tracks ({scores[0]:.2f} after learning from {measured[0]}, "
            f"{scores[-1]:.2f} from {measured[-1]}), so no curve says where it ends."
        )
        return LearningCurve(measured, scores, reason=reason)
    least, value, most = min(low, needed[0]), needed[0], max(high, needed[0])
    return LearningCurve(
        sizes=measured,
        scores=scores,
        plateau=float(plateau[0]),
        needed=int(np.ceil(value)),
        low=int(np.ceil(least)),
        high=int(np.ceil(most)) if most <= limit else None,
    )


def _resampled(targets: Bools, decisions: Bools, groups: Sequence[Hashable], seed: int) -> Floats:
    """Mean macro-F1 (R, S) of resampled tracks and repetitions."""
    weights = np.concatenate(list(resamples(groups, RESAMPLES, seed)))
    of_each = np.array(
        [[macro_f1(targets, each, weights) for each in size] for size in decisions]
    )  # (S, K, R)
    repetitions = decisions.shape[1]
    random = np.random.default_rng(seed)
    chosen = random.integers(0, repetitions, (len(weights), decisions.shape[0], repetitions))
    drawn = np.take_along_axis(of_each.transpose(2, 0, 1), chosen, axis=2).mean(axis=2)
    return np.asarray(drawn[~np.isnan(drawn).any(axis=1)])


def _needed(sizes: Sequence[int], scores: Floats) -> tuple[Floats, Floats]:
    """Tracks (R,) for `SHARE` of the plateaus of curves through scores (R, S), and these plateaus (R,).

    By least squares: for every exponent the best plateau, at most 1, and slope; then the best exponent. Where
    the scores themselves reach that share, it is interpolated between them, as the first steps of a curve
    often rise faster than a power law; else the curve is extended.
    """
    best = np.full(len(scores), np.inf)
    needed, plateaus = np.empty(len(scores)), np.empty(len(scores))
    means = scores.mean(axis=1)
    for exponent in EXPONENTS:
        power = np.asarray(sizes, float) ** -exponent
        centred = power - power.mean()
        slope = np.maximum(-(scores @ centred) / (centred @ centred), 0)
        plateau = means + slope * power.mean()
        above = plateau > 1
        plateau = np.where(above, 1.0, plateau)
        slope = np.where(above, np.maximum((1 - scores) @ power / (power @ power), 0), slope)
        error = ((scores - plateau[:, None] + slope[:, None] * power) ** 2).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            reached = (slope / ((1 - SHARE) * plateau)) ** (1 / exponent)
        reached = np.maximum(np.where(plateau > 0, reached, np.inf), sizes[-1])
        better = error < best
        best = np.where(better, error, best)
        needed, plateaus = np.where(better, reached, needed), np.where(better, plateau, plateaus)
    return np.where(
        (scores >= SHARE * plateaus[:, None]).any(axis=1), _crossing(sizes, scores, plateaus), needed
    ), plateaus


def _crossing(sizes: Sequence[int], scores: Floats, plateaus: Floats) -> Floats:
    """Where scores (R, S) first reach `SHARE` of their plateaus (R,), by the logarithms of the sizes."""
    wanted = SHARE * plateaus
    rows, after = np.arange(len(scores)), (scores >= wanted[:, None]).argmax(axis=1)
    before = np.maximum(after - 1, 0)
    rise = scores[rows, after] - scores[rows, before]
    part = np.divide(wanted - scores[rows, before], rise, out=np.zeros_like(rise), where=rise > 0)
    logs = np.log(np.asarray(sizes, float))
    return np.asarray(np.exp(logs[before] + np.clip(part, 0, 1) * (logs[after] - logs[before])))
