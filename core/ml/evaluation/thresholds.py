"""Label thresholds, chosen on validation data, never on test data."""

import numpy as np
import numpy.typing as npt

from core.ml.evaluation.arrays import Bools, Floats, checked

_SHRINK = 20  # number of positives at which a label's own threshold and the common one have equal weight


def choose_thresholds(
    targets: npt.ArrayLike, scores: npt.ArrayLike, shrink: float = _SHRINK, beta: float = 1.0
) -> Floats:
    """A threshold per label (L,) that maximises F-beta, shrunk towards a common one for rare labels.

    The threshold of a label with `n` positives has the weight `n / (n + shrink)`.
    """
    truth, given = checked(targets, scores)
    common = common_threshold(truth, given, beta)
    positives = truth.sum(axis=0)
    labels = range(truth.shape[1])
    own = np.array([best_f_threshold(truth[:, label], given[:, label], beta) for label in labels])
    weight = np.divide(positives, positives + shrink, out=np.zeros(len(own)), where=positives > 0)
    return np.where(np.isnan(own), common, weight * np.nan_to_num(own) + (1 - weight) * common)


def thresholds_for_precision(targets: npt.ArrayLike, scores: npt.ArrayLike, least: float) -> Floats:
    """The lowest threshold per label (L,) with at least the precision `least`, for maximum recall.

    If no threshold reaches it, the one with the highest precision. A label without tracks gets the common
    threshold with the best F1.
    """
    truth, given = checked(targets, scores)
    common = common_threshold(truth, given)
    own = [
        _threshold_for_precision(truth[:, label], given[:, label], least) for label in range(truth.shape[1])
    ]
    return np.where(np.isnan(own), common, own)


def _threshold_for_precision(truth: Bools, scores: Floats, least: float) -> float:
    if not truth.any():
        return float("nan")
    ranked, ends, hits = _decisions(truth, scores)
    precision = hits / (ends + 1)
    reaching = np.flatnonzero(precision >= least)
    best = np.flatnonzero(precision == precision.max())
    return _between(ranked, int(ends[(reaching if len(reaching) else best)[-1]]))


def precision_recall_front(truth: Bools, scores: Floats) -> list[tuple[float, float, float]]:
    """Pareto-optimal (threshold, precision, recall) for (N,) tracks, from the highest threshold down.

    Empty without positives.
    """
    positives = int(truth.sum())
    if not positives:
        return []
    ranked, ends, hits = _decisions(truth, scores)
    precision, recall = hits / (ends + 1), hits / positives
    # Recall grows as the threshold falls, so a point is dominated if it adds no hit, or if a lower threshold
    # has at least the same precision.
    best_below = np.append(np.maximum.accumulate(precision[::-1])[::-1][1:], -1.0)
    kept = np.flatnonzero((precision > best_below) & (hits > np.append(0, hits[:-1])))
    return [
        (_between(ranked, int(ends[place])), float(precision[place]), float(recall[place])) for place in kept
    ]


def common_threshold(targets: npt.ArrayLike, scores: npt.ArrayLike, beta: float = 1.0) -> float:
    """The threshold for all labels that maximises micro-averaged F-beta; 0.5 without positives."""
    truth, given = checked(targets, scores)
    best = best_f_threshold(truth.ravel(), given.ravel(), beta)
    return 0.5 if np.isnan(best) else best


def best_f_threshold(truth: Bools, scores: Floats, beta: float = 1.0) -> float:
    """The threshold of (N,) scores with the highest F-beta, midway between adjacent scores.

    The highest of several. NaN without positives.
    """
    positives = int(truth.sum())
    if not positives:
        return float("nan")
    ranked, ends, hits = _decisions(truth, scores)
    f = (1 + beta**2) * hits / (ends + 1 + beta**2 * positives)
    return _between(ranked, int(ends[np.argmax(f)]))


def _decisions(truth: Bools, scores: Floats) -> tuple[Floats, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Scores in descending order, the last rank included at each distinct threshold, and its hits."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.flatnonzero(np.append(ranked[:-1] != ranked[1:], True))
    return ranked, ends, np.cumsum(truth[order].astype(np.intp))[ends]


def _between(ranked: Floats, end: int) -> float:
    """Midway between the scores at ranks `end` and `end` + 1."""
    below = ranked[end + 1] if end + 1 < len(ranked) else ranked[end]
    return float((ranked[end] + below) / 2)
