"""Label thresholds, chosen on validation data, never on test data."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from core.ml.evaluation.arrays import Bools, Floats, checked

DEFAULT_THRESHOLD = 0.5  # where no track says anything of the label
_RESAMPLES = 40


def choose_thresholds(
    targets: npt.ArrayLike,
    scores: npt.ArrayLike,
    known: Bools | None = None,
    beta: float = 1.0,
    seed: int = 0,
) -> Floats:
    """A threshold per label (L,) for the highest F-beta: the mean of two estimates.

    One is the best if the scores were exact probabilities; the other the mean over bootstrap resamples of the
    tracks of the best of each. The first is steady for rare labels, the second right for uncalibrated scores.
    Only `known` scores (N, L) count; a label without positives among them gets `DEFAULT_THRESHOLD`.
    """
    truth, given = checked(targets, scores)
    used = np.ones_like(truth) if known is None else known
    random = np.random.default_rng(seed)
    chosen = np.full(truth.shape[1], DEFAULT_THRESHOLD)
    for label in range(truth.shape[1]):
        rows = used[:, label]
        if not truth[rows, label].any():
            continue
        estimates = (
            expected_f_threshold(given[rows, label], beta),
            bootstrapped_f_threshold(truth[rows, label], given[rows, label], random, beta),
        )
        chosen[label] = np.nanmean(estimates)
    return chosen


def expected_f_threshold(scores: Floats, beta: float = 1.0) -> float:
    """The threshold of (N,) scores with the highest F-beta if each score is the probability of its track.

    Of the ratio of expectations (Lipton, Elkan and Naryanaswamy, 2014); midway between adjacent scores.
    """
    ranked = -np.sort(-scores)
    ends = np.flatnonzero(np.append(ranked[:-1] != ranked[1:], True))
    f = (1 + beta**2) * np.cumsum(ranked)[ends] / (ends + 1 + beta**2 * ranked.sum())
    return _between(ranked, int(ends[np.argmax(f)]))


def bootstrapped_f_threshold(
    truth: Bools, scores: Floats, random: np.random.Generator, beta: float = 1.0, repeats: int = _RESAMPLES
) -> float:
    """The mean of `best_f_threshold` over resamples of the (N,) tracks; NaN if none has a positive."""
    found = []
    for _ in range(repeats):
        drawn = random.integers(0, len(truth), len(truth))
        found.append(best_f_threshold(truth[drawn], scores[drawn], beta))
    known = [threshold for threshold in found if not np.isnan(threshold)]
    return float(np.mean(known)) if known else float("nan")


def cross_fitted(
    targets: npt.ArrayLike,
    scores: npt.ArrayLike,
    folds: npt.ArrayLike,
    choose: Callable[[npt.NDArray[np.intp]], Floats],
) -> Bools:
    """Decisions (N, L), each by thresholds that were chosen without its fold.

    `folds` (N,): the fold of each track; if all are in one, its thresholds are chosen on the same tracks.
    `choose(rows)` gives thresholds (L,) chosen on those tracks.
    """
    truth, given = checked(targets, scores)
    numbers = np.asarray(folds)
    decisions = np.zeros_like(truth)
    for fold in np.unique(numbers):
        inside = numbers == fold
        others = np.flatnonzero(inside if inside.all() else ~inside)
        decisions[inside] = given[inside] >= choose(others)
    return decisions


def thresholds_for_precision(
    targets: npt.ArrayLike, scores: npt.ArrayLike, least: npt.ArrayLike, known: Bools | None = None
) -> Floats:
    """The lowest threshold per label with at least the precision `least`, for maximum recall.

    (L,) for one precision, (P, L) for several (P,). If no threshold reaches it, the one with the highest
    precision. Only `known` scores (N, L) count; NaN for a label without positives among them.
    """
    truth, given = checked(targets, scores)
    used = np.ones_like(truth) if known is None else known
    asked = np.atleast_1d(np.asarray(least, float))
    columns = zip(truth.T, given.T, used.T, strict=True)
    found = np.array(
        [_thresholds_for_precision(of[rows], scored[rows], asked) for of, scored, rows in columns]
    )
    return found.T.reshape(*np.shape(least), truth.shape[1])


def _thresholds_for_precision(truth: Bools, scores: Floats, asked: Floats) -> Floats:
    if not truth.any():
        return np.full(len(asked), np.nan)
    ranked, ends, hits = _decisions(truth, scores)
    precision = hits / (ends + 1)
    reaching = precision >= asked[:, None]
    lowest = len(ends) - 1 - reaching[:, ::-1].argmax(axis=1)
    best = np.flatnonzero(precision == precision.max())[-1]
    found = ends[np.where(reaching.any(axis=1), lowest, best)]
    below = ranked[np.minimum(found + 1, len(ranked) - 1)]
    return np.asarray((ranked[found] + below) / 2)


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
