"""Calibration of scores, so that of the tracks with score 0.7 about 70 % have the label.

Fitted on validation data, on the mean scores of tracks.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar
from scipy.special import logsumexp

from core.config.experiment import CalibrationMethod
from core.config.models import Calibration
from core.ml.evaluation.arrays import Bools, Floats, checked, log, logit, sigmoid, softmax

_FREE_FROM = 50  # positives, and negatives, from which on a label gets a slope of its own
_RIDGE = 5.0  # penalty on offsets, and on the logarithm of the common slope: half of it times the square
_SLOPES = (0.05, 20.0)  # bounds; positive, so that the order of scores is kept


def calibrate(scores: npt.ArrayLike, calibration: Calibration) -> Floats:
    """Scores (..., L) -> calibrated scores (..., L).

    `sigmoid(slope * logit(score) + offset)` per label, or, for exclusive labels, the softmax of
    `slope * log(score) + offset`.
    """
    given, slopes = np.asarray(scores, np.float64), np.array(calibration.slopes)
    offsets = np.array(calibration.offsets)
    if calibration.form == "softmax":
        return softmax(slopes * log(given) + offsets)
    return sigmoid(slopes * logit(given) + offsets)


def normalise(scores: npt.ArrayLike) -> Floats:
    """Scores (..., L) of exclusive labels, scaled to sum to 1; uniform where all are 0."""
    given = np.asarray(scores, np.float64)
    whole = given.sum(axis=-1, keepdims=True)
    return np.asarray(np.divide(given, whole, out=np.full_like(given, 1 / given.shape[-1]), where=whole > 0))


def fit_calibration(
    method: CalibrationMethod, targets: npt.ArrayLike, scores: npt.ArrayLike, known: Bools | None = None
) -> Calibration:
    """Fit on held-out tracks: targets and scores (N, L), of which only `known` ones count."""
    if method == "platt":
        return fit_platt(targets, scores, known)
    return fit_temperature(targets, scores, known)


def fit_temperature(targets: npt.ArrayLike, scores: npt.ArrayLike, known: Bools | None = None) -> Calibration:
    """One slope for all labels, no offsets (Guo et al., 2017). Only `known` scores (N, L) count."""
    truth, given = checked(targets, scores)
    logits, softened = logit(given), _softened(truth)
    used = np.ones_like(truth) if known is None else known
    slope = 1.0
    if used.any():
        slope = _best_slope(lambda slope: _cross_entropy(slope * logits[used], softened[used]))
    return Calibration(slopes=(slope,) * truth.shape[1], offsets=(0.0,) * truth.shape[1])


def fit_softmax_temperature(targets: npt.ArrayLike, scores: npt.ArrayLike) -> Calibration:
    """One softmax temperature for exclusive labels (Guo et al., 2017), kept near 1 by a ridge.

    The label with the highest score, and so the accuracy, stays the same. Unlabelled tracks are ignored.
    """
    truth, given = checked(targets, scores)
    labels = truth.shape[1]
    logarithms = log(given[truth.any(axis=1)])
    # Softened like Platt's targets, so that the temperature stays finite for separable labels.
    rest = 1 / (len(logarithms) + 2)
    softened = np.where(truth[truth.any(axis=1)], 1 - rest, rest / max(1, labels - 1))

    def loss(slope: float) -> float:
        scaled = slope * logarithms
        losses = logsumexp(scaled, axis=1) - (softened * scaled).sum(axis=1)
        return float(losses.sum() + _RIDGE / 2 * np.log(slope) ** 2)

    slope = _best_slope(loss) if len(logarithms) else 1.0
    return Calibration(slopes=(slope,) * labels, offsets=(0.0,) * labels, form="softmax")


def fit_platt(
    targets: npt.ArrayLike, scores: npt.ArrayLike, known: Bools | None = None, free_from: int = _FREE_FROM
) -> Calibration:
    """One slope for all labels and an offset for each, kept near 1 and 0 by a ridge.

    A label with at least `free_from` positives and negatives gets a slope and an offset of its own (Platt,
    1999). Only `known` scores (N, L) count.
    """
    truth, given = checked(targets, scores)
    logits, used = logit(given), np.ones_like(truth) if known is None else known
    slope, offsets = _ridge(truth, logits, used)
    pairs = []
    for label in range(truth.shape[1]):
        of_label = truth[used[:, label], label]
        positives = int(of_label.sum())
        if min(positives, len(of_label) - positives) < free_from:
            pairs.append((slope, float(offsets[label])))
        else:
            pairs.append(_platt(of_label, logits[used[:, label], label]))
    slopes, free_offsets = zip(*pairs, strict=True)
    return Calibration(slopes=slopes, offsets=free_offsets)


def _ridge(truth: Bools, logits: Floats, used: Bools) -> tuple[float, Floats]:
    """The common slope and the offsets (L,) with the least penalised sum of losses of the `used` scores."""

    def loss(point: Floats) -> tuple[float, Floats]:
        scaled = np.exp(point[0]) * logits + point[1:]
        losses = np.where(used, np.logaddexp(0, scaled) - truth * scaled, 0.0)
        errors = np.where(used, sigmoid(scaled) - truth, 0.0)
        gradient = np.append(np.exp(point[0]) * (errors * logits).sum(), errors.sum(axis=0))
        return float(losses.sum() + _RIDGE / 2 * (point**2).sum()), gradient + _RIDGE * point

    bounds = [tuple(np.log(_SLOPES)), *[(None, None)] * truth.shape[1]]
    found = minimize(loss, np.zeros(truth.shape[1] + 1), jac=True, method="L-BFGS-B", bounds=bounds)
    return float(np.exp(found.x[0])), np.asarray(found.x[1:])


def calibration_error(targets: npt.ArrayLike, scores: npt.ArrayLike, bins: int = 10) -> Floats:
    """Expected calibration error per label (L,), over bins of equal width."""
    truth, given = checked(targets, scores)
    bin_of = np.minimum((given * bins).astype(int), bins - 1)
    errors = np.zeros(truth.shape[1])
    for number in range(bins):
        inside = bin_of == number
        errors += np.abs(np.where(inside, given - truth, 0.0).sum(axis=0)) / len(truth)
    return errors


def brier_score(targets: npt.ArrayLike, scores: npt.ArrayLike) -> Floats:
    """Mean squared error per label (L,)."""
    truth, given = checked(targets, scores)
    return np.asarray(((given - truth) ** 2).mean(axis=0))


def _best_slope(loss: Callable[[float], float]) -> float:
    """The slope within the bounds that minimises a loss."""
    bounds = tuple(np.log(_SLOPES))
    found = minimize_scalar(lambda exponent: loss(float(np.exp(exponent))), bounds=bounds, method="bounded")
    return float(np.exp(found.x))


def _platt(truth: Bools, logits: Floats) -> tuple[float, float]:
    """Slope and offset for the logits (N,) of a label."""
    targets = _softened(truth)

    def loss(pair: Floats) -> tuple[float, Floats]:
        scaled = pair[0] * logits + pair[1]
        errors = sigmoid(scaled) - targets
        return _cross_entropy(scaled, targets), np.array([(errors * logits).mean(), errors.mean()])

    found = minimize(loss, (1.0, 0.0), jac=True, method="L-BFGS-B", bounds=(_SLOPES, (None, None)))
    return float(found.x[0]), float(found.x[1])


def _softened(truth: Bools) -> Floats:
    """Platt's softened targets (N, ...): for separable labels the slope would grow without bound."""
    positives, negatives = truth.sum(axis=0), (~truth).sum(axis=0)
    return np.asarray(np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2)))


def _cross_entropy(logits: Floats, targets: Floats) -> float:
    return float((np.logaddexp(0, logits) - targets * logits).mean())
