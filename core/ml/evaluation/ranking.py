"""ROC-AUC and average precision of all labels at once, fast enough for a thousand resamples."""

import numpy as np
import numpy.typing as npt

from core.ml.evaluation.arrays import Bools, Floats, checked

_MOST_NUMBERS = 2_000_000  # of an array, when many weightings are measured at once
Places = npt.NDArray[np.intp]


class Ranking:
    """The tracks sorted by score, once per label, to compute metrics for any weights of the tracks.

    Both metrics equal scikit-learn's `roc_auc_score` and `average_precision_score`, including ties, and are
    NaN for labels that no track or every track of positive weight has.
    """

    def __init__(self, targets: npt.ArrayLike, scores: npt.ArrayLike) -> None:
        truth, given = checked(targets, scores)
        self._order = np.argsort(-given, axis=0, kind="stable")  # (N, L): highest score first
        ranked = np.take_along_axis(given, self._order, axis=0)
        self._positive: Bools = np.take_along_axis(truth, self._order, axis=0)
        self._tie_start, self._tie_end = _ties(ranked)

    def roc_auc_and_average_precision(self, weights: Floats | None = None) -> tuple[Floats, Floats]:
        """Both metrics per label with the tracks weighted by `weights` (..., N), (..., L) each."""
        weight = np.ones(len(self._order)) if weights is None else weights
        rows = weight.reshape(-1, len(self._order))
        size = max(1, _MOST_NUMBERS // self._order.size)
        parts = [self._measure(rows[start : start + size]) for start in range(0, len(rows), size)]
        shape = (*weight.shape[:-1], self._order.shape[1])
        roc, precision = (np.concatenate(measured).reshape(shape) for measured in zip(*parts, strict=True))
        return roc, precision

    def _measure(self, weights: Floats) -> tuple[Floats, Floats]:
        """(R, N) -> (R, L) twice."""
        ranked = weights[:, self._order]  # (R, N, L)
        hits = np.where(self._positive, ranked, 0.0)
        labels = np.arange(self._order.shape[1])
        summed = np.cumsum(hits, axis=1)
        true = summed[:, self._tie_end, labels]
        above = (summed - hits)[:, self._tie_start, labels]
        seen = np.cumsum(ranked, axis=1)[:, self._tie_end, labels]
        positives, total = summed[:, -1], weights.sum(axis=1)[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            precision = np.divide(hits * true, seen, out=np.zeros_like(hits), where=seen > 0).sum(axis=1)
            # A negative is ranked below the positives above its ties, and below half of those among them.
            roc = ((ranked - hits) * (true + above) / 2).sum(axis=1)
            roc /= positives * (total - positives)
            precision /= positives
        unknown = (positives <= 0) | (positives >= total)
        return np.where(unknown, np.nan, roc), np.where(unknown, np.nan, precision)


def _ties(ranked: Floats) -> tuple[Places, Places]:
    """For each rank (N, L) the first and the last rank with the same score."""
    count = len(ranked)
    places = np.broadcast_to(np.arange(count)[:, None], ranked.shape)
    changes = ranked[:-1] != ranked[1:]
    edge = np.ones((1, ranked.shape[1]), bool)
    starts = np.where(np.concatenate([edge, changes]), places, 0)
    ends = np.where(np.concatenate([changes, edge]), places, count)
    return np.maximum.accumulate(starts, axis=0), np.minimum.accumulate(ends[::-1], axis=0)[::-1]
