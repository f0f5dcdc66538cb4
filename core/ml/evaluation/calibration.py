"""Calibration of scores, so that of the tracks with score 0.7 about 70 % have the label.

Fitted on validation data, on the mean scores of tracks.
"""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar
from scipy.special import logsumexp

from core.config.experiment import CalibrationMethod
from core.config.models import Calibration
from core.ml.evaluation.arrays import Bools, Floats, checked, log, logit, sigmoid, softmax

_MIN_POSITIVES = 10  # a label with fewer positives or negatives gets the common temperature
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


def fit_calibration(method: CalibrationMethod, targets: npt.ArrayLike, scores: npt.ArrayLike) -> Calibration:
    """Fit on held-out tracks: targets and scores (N, L)."""
    return fit_platt(targets, scores) if method == "platt" else fit_temperature(targets, scores)


def fit_temperature(targets: npt.ArrayLike, scores: npt.ArrayLike) -> Calibration:
    """One slope for all labels, no offsets (Guo et al., 2017)."""
    truth, given = checked(targets, scores)
    slope = _common_slope(truth, logit(given))
    return Calibration(slopes=(slope,) * truth.shape[1], offsets=(0.0,) * truth.shape[1])


def fit_softmax_temperature(targets: npt.ArrayLike, scores: npt.ArrayLike) -> Calibration:
    """One softmax temperature for exclusive labels (Guo et al., 2017).

    The label with the highest score, and so the accuracy, stays the same. Unlabelled tracks are ignored.
    """
    truth, given = checked(targets, scores)
    labels = truth.shape[1]
    logarithms = log(given[truth.any(axis=1)])
    # Softened like Platt's targets, so that the temperature stays finite for separable labels.
    rest = 1 / (len(logarithms) + 2)
    softened = np.where(truth[truth.any(axis=1)], 1 - rest, rest / max(1, labels - 1))

    def loss(log_slope: float) -> float:
        scaled = np.exp(log_slope) * logarithms
        return float((logsumexp(scaled, axis=1) - (softened * scaled).sum(axis=1)).mean())

    slope = 1.0
    if len(logarithms):
        found = minimize_scalar(loss, bounds=tuple(np.log(_SLOPES)), method="bounded")
        slope = float(np.exp(found.x))
    return Calibration(slopes=(slope,) * labels, offsets=(0.0,) * labels, form="softmax")


def fit_platt(
    targets: npt.ArrayLike, scores: npt.ArrayLike, min_positives: int = _MIN_POSITIVES
) -> Calibration:
    """A slope and an offset per label (Platt, 1999); labels with few examples get the common temperature."""
    truth, given = checked(targets, scores)
    logits = logit(given)
    common = _common_slope(truth, logits)
    pairs = []
    for label in range(truth.shape[1]):
        positives = int(truth[:, label].sum())
        if min(positives, len(truth) - positives) < min_positives:
            pairs.append((common, 0.0))
        else:
            pairs.append(_platt(truth[:, label], logits[:, label]))
    slopes, offsets = zip(*pairs, strict=True)
    return Calibration(slopes=slopes, offsets=offsets)


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


def _common_slope(truth: Bools, logits: Floats) -> float:
    targets = _softened(truth)

    def loss(log_slope: float) -> float:
        return _cross_entropy(np.exp(log_slope) * logits, targets)

    found = minimize_scalar(loss, bounds=tuple(np.log(_SLOPES)), method="bounded")
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
