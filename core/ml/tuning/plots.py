"""Pictures of a study, as PNG files; drawn without any display."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from core.config.search_space import pareto_front
from core.config.tuning import Dimension, ObjectiveConfig

MOST_KEYS = 12  # more do not fit into one picture
COLOURS = "viridis"


@dataclass(frozen=True)
class Tried:
    """A trial that has ended with values."""

    number: int
    params: Mapping[str, Any]
    values: Sequence[float]


def draw(
    objectives: Sequence[ObjectiveConfig],
    space: Mapping[str, Dimension],
    trials: Sequence[Tried],
    importances: Mapping[str, Mapping[str, float]],
) -> dict[str, bytes]:
    """The pictures by name; those that need more objectives or trials than there are, are left out."""
    if not trials:
        return {}
    first = next(iter(importances.values()), {})
    keys = [*first, *(key for key in sorted(space) if key not in first)][:MOST_KEYS]
    found = {
        "history": _history(objectives, trials),
        "parallel_coordinates": _parallel_coordinates(objectives[0], space, keys, trials),
        "slice": _slice(objectives[0], space, keys, trials),
    }
    if importances:
        found["importances"] = _importances(importances)
    if len(objectives) > 1:
        found["pareto_front"] = _pareto_front(objectives, trials)
    return {name: _png(figure) for name, figure in found.items()}


def _history(objectives: Sequence[ObjectiveConfig], trials: Sequence[Tried]) -> Figure:
    """Every value, and the best one so far."""
    figure = Figure(figsize=(8, 1 + 3 * len(objectives)), layout="constrained")
    numbers = [trial.number for trial in trials]
    for index, (objective, axes) in enumerate(zip(objectives, _column(figure, len(objectives)), strict=True)):
        values = np.array([trial.values[index] for trial in trials])
        best = np.maximum.accumulate(values) if objective.maximizes else np.minimum.accumulate(values)
        axes.plot(numbers, values, "o", label="trial")
        axes.step(numbers, best, where="post", label="best so far")
        axes.set(xlabel="trial", ylabel=objective.metric)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    return figure


def _importances(importances: Mapping[str, Mapping[str, float]]) -> Figure:
    keys = list(dict.fromkeys(key for shares in importances.values() for key in shares))[::-1]
    figure = Figure(figsize=(8, 1.5 + 0.4 * len(keys) * len(importances)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(importances)
    for index, (metric, shares) in enumerate(importances.items()):
        places = [place + index * height for place in range(len(keys))]
        axes.barh(places, [shares.get(key, 0.0) for key in keys], height, label=metric)
    axes.set_yticks([place + 0.4 - height / 2 for place in range(len(keys))], keys)
    axes.set(xlabel="share of the variance (fANOVA)", xlim=(0, 1))
    axes.legend(fontsize="small")
    return figure


def _parallel_coordinates(
    objective: ObjectiveConfig, space: Mapping[str, Dimension], keys: Sequence[str], trials: Sequence[Tried]
) -> Figure:
    """A line per trial through the places of its parameters, coloured by its value."""
    figure = Figure(figsize=(3 + 1.6 * len(keys), 5), layout="constrained")
    axes = figure.subplots()
    values = [trial.values[0] for trial in trials]
    low, high = min(values), max(values)
    colours = _colours(low, high)
    for trial in sorted(trials, key=lambda trial: trial.values[0], reverse=not objective.maximizes):
        places = [_place(space[key], trial.params.get(key)) for key in keys]
        own = (trial.values[0] - low) / (high - low) if high > low else 0.5
        axes.plot([*places, own], color=colours.to_rgba(trial.values[0]), alpha=0.7)
    axes.set_xticks(range(len(keys) + 1), [*keys, objective.metric], rotation=20, ha="right")
    axes.set_yticks([])
    for at, key in enumerate(keys):
        bottom, top = _ends(space[key])
        axes.text(at, -0.06, bottom, ha="center", fontsize="small")
        axes.text(at, 1.03, top, ha="center", fontsize="small")
        axes.axvline(at, color="grey", linewidth=0.5)
    figure.colorbar(colours, ax=axes, label=objective.metric)
    return figure


def _slice(
    objective: ObjectiveConfig, space: Mapping[str, Dimension], keys: Sequence[str], trials: Sequence[Tried]
) -> Figure:
    """For each key its values against the objective; darker is later."""
    figure = Figure(figsize=(1 + 3 * len(keys), 4), layout="constrained")
    row = np.atleast_1d(np.asarray(figure.subplots(1, len(keys), sharey=True)))
    for axes, key in zip(row, keys, strict=True):
        having = [trial for trial in trials if key in trial.params]
        dimension = space[key]
        given = [trial.params[key] for trial in having]
        if dimension.kind == "categorical":
            given = [str(value) for value in given]
        numbers = [trial.number for trial in having]
        axes.scatter(given, [trial.values[0] for trial in having], c=numbers, cmap="Blues", edgecolors="grey")
        if dimension.kind != "categorical" and dimension.log:
            axes.set_xscale("log")
        axes.set(xlabel=key)
        axes.grid(alpha=0.3)
    row[0].set_ylabel(objective.metric)
    return figure


def _pareto_front(objectives: Sequence[ObjectiveConfig], trials: Sequence[Tried]) -> Figure:
    """The first two objectives; those that no other trial beats in every one are marked."""
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    front = set(
        pareto_front([trial.values for trial in trials], [objective.maximizes for objective in objectives])
    )
    for label, wanted in (("dominated", False), ("Pareto front", True)):
        shown = [trial for index, trial in enumerate(trials) if (index in front) == wanted]
        axes.plot(
            [trial.values[0] for trial in shown], [trial.values[1] for trial in shown], "o", label=label
        )
    axes.set(xlabel=objectives[0].metric, ylabel=objectives[1].metric)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure


def _column(figure: Figure, rows: int) -> list[Axes]:
    return list(np.atleast_1d(np.asarray(figure.subplots(rows, 1))))


def _place(dimension: Dimension, value: Any) -> float:
    """Where a value lies between the ends of its key, 0 to 1; NaN leaves a gap for a key that is inactive."""
    if dimension.kind == "categorical":
        count = max(1, len(dimension.choices) - 1)
        return dimension.choices.index(value) / count if value in dimension.choices else float("nan")
    if value is None:
        return float("nan")
    low, high = dimension.low, dimension.high
    if dimension.log:
        return float(np.log(value / low) / np.log(high / low))
    return float((value - low) / (high - low))


def _ends(dimension: Dimension) -> tuple[str, str]:
    if dimension.kind == "categorical":
        return str(dimension.choices[0]), str(dimension.choices[-1])
    return f"{dimension.low:g}", f"{dimension.high:g}"


def _colours(low: float, high: float) -> Any:
    return ScalarMappable(Normalize(low, high), COLOURS)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
