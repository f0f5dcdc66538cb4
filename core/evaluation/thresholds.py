"""From which score on a label is given; chosen on validation data, never on test data."""

import numpy as np
import numpy.typing as npt

from core.evaluation.arrays import Bools, Floats, checked

_SHRINK = 20  # at so many positives, a label's own threshold and the common one weigh the same


def choose_thresholds(targets: npt.ArrayLike, scores: npt.ArrayLike, shrink: float = _SHRINK) -> Floats:
    """A threshold per label (L,) that maximises F1, drawn to the common one where positives are few.

    The fewer positives `n` a label has, the less its own best threshold means: it weighs `n / (n + shrink)`.
    """
    truth, given = checked(targets, scores)
    common = common_threshold(truth, given)
    positives = truth.sum(axis=0)
    own = np.array([best_f1_threshold(truth[:, label], given[:, label]) for label in range(truth.shape[1])])
    weight = np.divide(positives, positives + shrink, out=np.zeros(len(own)), where=positives > 0)
    return np.where(np.isnan(own), common, weight * np.nan_to_num(own) + (1 - weight) * common)


def common_threshold(targets: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """The one threshold for all labels that maximises micro-F1; 0.5 if nothing is positive."""
    truth, given = checked(targets, scores)
    best = best_f1_threshold(truth.ravel(), given.ravel())
    return 0.5 if np.isnan(best) else best


def best_f1_threshold(truth: Bools, scores: Floats) -> float:
    """The threshold of (N,) scores with the highest F1, midway between the scores that it divides.

    Among equals the highest. NaN if nothing is positive.
    """
    positives = int(truth.sum())
    if not positives:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.flatnonzero(np.append(ranked[:-1] != ranked[1:], True))
    hits = np.cumsum(truth[order])[ends]
    f1 = 2 * hits / (ends + 1 + positives)
    end = int(ends[np.argmax(f1)])
    below = ranked[end + 1] if end + 1 < len(ranked) else ranked[end]
    return float((ranked[end] + below) / 2)
