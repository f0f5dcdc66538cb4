"""Measures of models under the names that people know, with their intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# The averages that trainings store, the most telling first; pretrained models name some the other way round.
NAMES = {
    "f1_macro": "F1, mean of labels",
    "f1_micro": "F1, all decisions",
    "f1_samples": "F1, mean of tracks",
    "accuracy": "Accuracy",
    "pr_auc_macro": "PR-AUC, mean of labels",
    "macro_pr_auc": "PR-AUC, mean of labels",
    "pr_auc_chance": "PR-AUC of random scores",
    "roc_auc_macro": "ROC-AUC, mean of labels",
    "macro_roc_auc": "ROC-AUC, mean of labels",
}
NO_SCORE = ("tracks", "duration_s", "measured_labels")  # numbers that stand among the measures


@dataclass(frozen=True)
class Measure:
    """A number from 0 to 1 with the bounds of its 95 % interval, if they are known."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


def name_of(measure: str) -> str:
    return NAMES.get(measure, measure.replace("_", " "))


def measures_of(metrics: Mapping[str, Any], intervals: Mapping[str, Mapping[str, Any]]) -> list[Measure]:
    """In the order of `NAMES`; further ones after them."""
    order = [*NAMES, *(name for name in metrics if name not in NAMES)]
    found = [name for name in order if name not in NO_SCORE and metrics.get(name) is not None]
    return [_measure(name, metrics[name], intervals.get(name, {})) for name in found]


def headline(metrics: Mapping[str, Any], intervals: Mapping[str, Mapping[str, Any]]) -> Measure | None:
    """The one measure that stands for a model in a list."""
    return next(iter(measures_of(metrics, intervals)), None)


def _measure(name: str, value: float, bounds: Mapping[str, Any]) -> Measure:
    return Measure(name_of(name), value, bounds.get("low"), bounds.get("high"))
