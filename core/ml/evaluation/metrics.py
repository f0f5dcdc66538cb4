"""Metrics of scores and decisions, per label and averaged."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from core.ml.evaluation.arrays import Bools, Floats, checked, nan_mean
from core.ml.evaluation.ranking import Ranking


@dataclass(frozen=True)
class LabelMetrics:
    label: str
    support: int  # tracks with the label
    chance: float | None  # PR-AUC of random scores: the share of tracks with the label
    roc_auc: float | None  # all but support and threshold are None if the label cannot be measured
    pr_auc: float | None
    precision: float | None  # None also if no track is given the label
    recall: float | None
    f1: float | None
    threshold: float


@dataclass(frozen=True)
class Metrics:
    """Averages; None if nothing can be measured."""

    roc_auc_macro: float | None  # the three means over labels are over those that can be measured
    pr_auc_macro: float | None
    pr_auc_chance: float | None  # of random scores, over the same labels
    f1_micro: float | None
    f1_macro: float | None
    f1_samples: float | None
    accuracy: float | None  # top-1; None unless every track has exactly one label
    tracks: int
    measured_labels: int  # that the means over labels are of
    per_label: tuple[LabelMetrics, ...]
    unmeasured: tuple[str, ...]  # labels of no track or every track, and those that no model had learnt

    def summary(self) -> dict[str, float]:
        """The defined averages by name."""
        values = {name: value for name, value in asdict(self).items() if isinstance(value, (int, float))}
        return {name: float(value) for name, value in values.items()}


def evaluate(
    targets: npt.ArrayLike,
    scores: npt.ArrayLike,
    labels: Sequence[str],
    thresholds: npt.ArrayLike,
    decisions: npt.ArrayLike | None = None,
    postprocessed: npt.ArrayLike | None = None,
    learnt: Bools | None = None,
) -> Metrics:
    """Metrics of scores (N, L) in [0, 1] against targets (N, L) of 0 and 1, with thresholds (L,).

    `decisions` (N, L) replace comparing scores with thresholds. `postprocessed` scores (N, L), if given, are
    those that users get, from which the accuracy is computed. Labels that are not `learnt` (L,) are left out
    of every average (`core.ml.evaluation.measurable`).
    """
    truth, given = checked(targets, scores)
    limits = np.broadcast_to(np.asarray(thresholds, np.float64), (len(labels),))
    decided = given >= limits if decisions is None else checked(decisions, scores)[0]
    counted = np.ones(len(labels), bool) if learnt is None else learnt
    roc, precision_area = Ranking(truth, given).roc_auc_and_average_precision()
    chance = truth.mean(axis=0)
    precision, recall, f1 = precision_recall_f1(truth, decided)
    measured = np.asarray(~np.isnan(roc) & counted)
    is_given = np.asarray(decided.any(axis=0))
    per_label = tuple(
        LabelMetrics(
            label=label,
            support=int(truth[:, column].sum()),
            chance=float(chance[column]) if measured[column] else None,
            roc_auc=float(roc[column]) if measured[column] else None,
            pr_auc=float(precision_area[column]) if measured[column] else None,
            precision=float(precision[column]) if measured[column] and is_given[column] else None,
            recall=float(recall[column]) if measured[column] else None,
            f1=float(f1[column]) if measured[column] else None,
            threshold=float(limits[column]),
        )
        for column, label in enumerate(labels)
    )

    def mean(values: Floats) -> float | None:
        return float(values[measured].mean()) if measured.any() else None

    return Metrics(
        roc_auc_macro=mean(roc),
        pr_auc_macro=mean(precision_area),
        pr_auc_chance=mean(chance),
        f1_micro=_micro_f1(truth[:, counted], decided[:, counted]),
        f1_macro=mean(f1),
        f1_samples=float(track_f1(truth[:, counted], decided[:, counted]).mean()) if counted.any() else None,
        accuracy=_accuracy(truth, given if postprocessed is None else checked(targets, postprocessed)[1])
        if counted.any() and (truth.sum(axis=1) == 1).all()
        else None,
        tracks=len(truth),
        measured_labels=int(measured.sum()),
        per_label=per_label,
        unmeasured=tuple(label for label, known in zip(labels, measured, strict=True) if not known),
    )


def precision_recall_f1(truth: Bools, decided: Bools) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 per column; 0 without positive decisions or positive targets."""
    hits = (truth & decided).sum(axis=0)
    return (
        _ratio(hits, decided.sum(axis=0)),
        _ratio(hits, truth.sum(axis=0)),
        _ratio(2 * hits, truth.sum(axis=0) + decided.sum(axis=0)),
    )


def track_f1(truth: Bools, decided: Bools) -> Floats:
    """F1 of each track (N,); 1 for a track without labels that gets none."""
    both = truth.sum(axis=1) + decided.sum(axis=1)
    hits = 2.0 * (truth & decided).sum(axis=1)
    return np.asarray(np.divide(hits, both, out=np.ones(len(truth)), where=both > 0))


def co_occurrence(targets: npt.ArrayLike, decisions: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Number of tracks with label i that were given label j (L, L): a confusion matrix for single labels."""
    truth, decided = checked(targets, decisions)
    return truth.T.astype(np.int64) @ decided.astype(np.int64)


def mean_metrics(metrics: Metrics, labels: Collection[str]) -> dict[str, float]:
    """Metrics averaged over some labels; NaN where undefined for all of them."""
    chosen = [one for one in metrics.per_label if one.label in labels]

    def mean(values: list[float | None]) -> float:
        return nan_mean(np.array([np.nan if value is None else value for value in values]))

    return {
        "labels": float(len(chosen)),
        "measured": float(sum(one.f1 is not None for one in chosen)),
        "roc_auc": mean([one.roc_auc for one in chosen]),
        "pr_auc": mean([one.pr_auc for one in chosen]),
        "f1": mean([one.f1 for one in chosen]),
    }


def frequency_bands(train_counts: Mapping[str, int]) -> dict[str, list[str]]:
    """Labels in bands by their number of training tracks: head, middle and tail, without empty bands."""
    bands: dict[str, list[str]] = {}
    for label, count in train_counts.items():
        bands.setdefault("head" if count >= 100 else "middle" if count >= 20 else "tail", []).append(label)
    return bands


def _accuracy(truth: Bools, given: Floats) -> float:
    return float(truth[np.arange(len(truth)), given.argmax(axis=1)].mean())


def _micro_f1(truth: Bools, decided: Bools) -> float | None:
    whole = int(truth.sum() + decided.sum())
    return float(2 * (truth & decided).sum() / whole) if whole else None


def _ratio(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> Floats:
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)
