"""Arrays of scores and decisions. Shapes: N tracks, L labels."""

import numpy as np
import numpy.typing as npt
import scipy.special

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_EPSILON = 1e-7  # minimum distance of a probability from 0 and 1, to keep logits finite


def checked(targets: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Bools, Floats]:
    """Validated targets of 0 and 1 and scores in [0, 1], both (N, L) with N > 0. Raises ValueError."""
    truth, given = np.asarray(targets), np.asarray(scores, dtype=np.float64)
    if truth.ndim != 2 or truth.shape != given.shape or not truth.size:
        raise ValueError(f"targets {truth.shape} and scores {given.shape} must be the same (N, L)")
    if not np.isin(truth, (0, 1)).all():
        raise ValueError("targets must be 0 or 1")
    if not ((given >= 0) & (given <= 1)).all():
        raise ValueError("scores must lie in [0, 1]")
    return truth.astype(bool), given


def logit(scores: Floats, end: float = _EPSILON) -> Floats:
    """Logits of scores, of any shape; those nearer than `end` to 0 and 1 count as that far away."""
    inner = np.clip(scores, end, 1 - end)
    return np.asarray(np.log(inner) - np.log1p(-inner))


def log(scores: Floats) -> Floats:
    """Logarithms of scores, of any shape."""
    return np.asarray(np.log(np.clip(scores, _EPSILON, 1)))


def softmax(logits: Floats) -> Floats:
    """Over the last axis."""
    return np.asarray(scipy.special.softmax(logits, axis=-1))


def argmax_decisions(scores: npt.ArrayLike) -> Bools:
    """Decisions (N, L) for exclusive labels: the highest score of each row, the first of equal ones."""
    given = np.asarray(scores)
    decisions = np.zeros(given.shape, bool)
    decisions[np.arange(len(given)), given.argmax(axis=1)] = True
    return decisions


def sigmoid(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-logits)))


def log_loss(targets: Bools, scores: Floats, *, exclusive: bool) -> float:
    """Mean cross-entropy of scores (N, L): per track for exclusive labels, else per track and label."""
    if exclusive:
        return float(-np.where(targets, log(scores), 0.0).sum(axis=1).mean())
    logits = logit(scores)
    return float((np.logaddexp(0, logits) - targets * logits).mean())


def nan_mean(values: Floats) -> float:
    """The mean of the values that are not NaN; NaN if there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
