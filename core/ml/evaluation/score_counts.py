"""How scores of held-out tracks are spread: what every threshold would decide, and how far scores hold.

Shapes: N tracks, L labels.
"""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from core.ml.evaluation.arrays import Bools, Floats, checked

STEPS = 1000  # of the scale from 0 to 1 on which scores are counted
BINS = 10  # of equal width, in which scores are compared with shares
_ROUNDING = 1e-9  # 0.29 * 1000 is 290


def count_scores(
    targets: npt.ArrayLike,
    scores: npt.ArrayLike,
    labels: Sequence[str],
    unmeasured: Collection[str],
    *,
    exclusive: bool,
) -> dict[str, Any]:
    """The content of `score_counts.json`, of targets and scores (N, L) as users get them.

    Of each label `counts` are rows of a step k and how many tracks without and with the label have a score
    from k / STEPS up to the next step; steps without a track are left out. So what every threshold on the
    scale decides is known without error. `bins` are rows of the number of scores in a tenth of the scale,
    their mean, and how many of these tracks have the label; `calibration_error` is the mean distance of the
    two, weighted by the number of scores (Naeini et al., 2015), as `calibration_error` of the results. Labels
    that cannot be measured have neither.

    The outer `bins` are of all scores of the measured labels together; where labels are exclusive, of each
    track's highest score, and of whether that is its label (`bins_of`: `scores` or `decisions`).
    """
    truth, given = checked(targets, scores)
    measured = np.array([label not in unmeasured for label in labels], bool)
    if exclusive:
        best = given.argmax(axis=1)
        rows = np.arange(len(given))
        bins = _bins(truth[rows, best], given[rows, best])
    else:
        bins = _bins(truth[:, measured].ravel(), given[:, measured].ravel())
    return {
        "steps": STEPS,
        "tracks": len(truth),
        "bins_of": "decisions" if exclusive else "scores",
        "bins": bins,
        "calibration_error": _error(bins),
        "labels": [
            {"label": label, **(_of_label(truth[:, column], given[:, column]) if measured[column] else {})}
            for column, label in enumerate(labels)
        ],
    }


def _of_label(truth: Bools, scores: Floats) -> dict[str, Any]:
    bins = _bins(truth, scores)
    steps = _places(scores, STEPS)
    without, having = (np.bincount(steps[truth == has], minlength=STEPS + 1) for has in (False, True))
    found = np.flatnonzero(without + having)
    rows = np.stack([found, without[found], having[found]], axis=1)
    return {"counts": rows.tolist(), "bins": bins, "calibration_error": _error(bins)}


def _bins(truth: Bools, scores: Floats) -> list[tuple[int, float | None, int]]:
    places = np.minimum(_places(scores, BINS), BINS - 1)
    numbers = np.bincount(places, minlength=BINS)
    sums = np.bincount(places, weights=scores, minlength=BINS)
    having = np.bincount(places[truth], minlength=BINS)
    return [
        (int(number), float(total / number) if number else None, int(positive))
        for number, total, positive in zip(numbers, sums, having, strict=True)
    ]


def _error(bins: Sequence[tuple[int, float | None, int]]) -> float | None:
    whole = sum(number for number, _, _ in bins)
    distances = (abs(number * mean - having) for number, mean, having in bins if mean is not None)
    return sum(distances) / whole if whole else None


def _places(scores: Floats, parts: int) -> npt.NDArray[np.int64]:
    return np.asarray(np.floor(scores * parts + _ROUNDING), np.int64)
