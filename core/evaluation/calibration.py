"""Make scores mean what they say: of the tracks with score 0.7, seven in ten should have the label.

Fitted on validation data, after the scores of a track's windows were averaged.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar

from core.evaluation.arrays import Bools, Floats, checked, logit, sigmoid
from core.experiment_config import CalibrationMethod

_MIN_POSITIVES = 10  # with fewer, or as few negatives, a label gets the common temperature
_SLOPES = (0.05, 20.0)  # never falling: a higher score must stay higher


@dataclass(frozen=True)
class Calibration:
    """Calibrated score of a label: `sigmoid(slope * logit(score) + offset)`, one pair per label."""

    slopes: tuple[float, ...]
    offsets: tuple[float, ...]

    def apply(self, scores: npt.ArrayLike) -> Floats:
        """Scores (..., L) -> calibrated scores (..., L)."""
        logits = logit(np.asarray(scores, np.float64))
        return sigmoid(np.array(self.slopes) * logits + np.array(self.offsets))


def fit(method: CalibrationMethod, targets: npt.ArrayLike, scores: npt.ArrayLike) -> Calibration:
    """Of tracks that were not learnt from: targets and scores (N, L)."""
    return fit_platt(targets, scores) if method == "platt" else fit_temperature(targets, scores)


def fit_temperature(targets: npt.ArrayLike, scores: npt.ArrayLike) -> Calibration:
    """One slope for all labels, no offsets (Guo and others, 2017)."""
    truth, given = checked(targets, scores)
    slope = _common_slope(truth, logit(given))
    return Calibration((slope,) * truth.shape[1], (0.0,) * truth.shape[1])


def fit_platt(
    targets: npt.ArrayLike, scores: npt.ArrayLike, min_positives: int = _MIN_POSITIVES
) -> Calibration:
    """A slope and an offset per label (Platt, 1999); the common temperature for labels with few examples."""
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
    return Calibration(tuple(slope for slope, _ in pairs), tuple(offset for _, offset in pairs))


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
    """Platt's targets (N, ...) against overfitting: where labels are separable, no slope would be enough."""
    positives, negatives = truth.sum(axis=0), (~truth).sum(axis=0)
    return np.asarray(np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2)))


def _cross_entropy(logits: Floats, targets: Floats) -> float:
    return float((np.logaddexp(0, logits) - targets * logits).mean())
