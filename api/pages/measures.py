"""Measures of models under the names that people know, with their intervals."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from core.output.measures import NO_MEASURES, PUBLISHED, title_of

# The most telling measures first.
ORDER = ("f1_macro", "f1_micro", "f1_samples", "accuracy", "pr_auc_macro", "pr_auc_chance", "roc_auc_macro")


@dataclass(frozen=True)
class Measure:
    """A number from 0 to 1 with the bounds of its 95 % interval, if they are known."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


def name_of(measure: str) -> str:
    return title_of(PUBLISHED.get(measure, measure))


def names_of(measures: Iterable[str]) -> dict[str, str]:
    """Of those that are scores, by how they are called in results."""
    return {measure: name_of(measure) for measure in measures if measure not in NO_MEASURES}


def measures_of(metrics: Mapping[str, Any], intervals: Mapping[str, Mapping[str, Any]]) -> list[Measure]:
    """In the order of `ORDER`; further ones after them."""
    order = [*ORDER, *(name for name in metrics if name not in ORDER)]
    found = [name for name in order if name not in NO_MEASURES and metrics.get(name) is not None]
    return [_measure(name, metrics[name], intervals.get(name, {})) for name in found]


def headline(metrics: Mapping[str, Any], intervals: Mapping[str, Mapping[str, Any]]) -> Measure | None:
    """The one measure that stands for a model in a list."""
    return next(iter(measures_of(metrics, intervals)), None)


def first_of(metrics: Mapping[str, Any], names: Iterable[str]) -> Measure | None:
    """The first of these measures that there is."""
    return next((_measure(name, metrics[name], {}) for name in names if metrics.get(name) is not None), None)


def _measure(name: str, value: float, bounds: Mapping[str, Any]) -> Measure:
    return Measure(name_of(name), value, bounds.get("low"), bounds.get("high"))
