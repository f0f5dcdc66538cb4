"""The complete trials of a study as lines over an axis for each parameter, and one for the objective."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

Point = tuple[int, float]  # the number of an axis, and a place on it between 0 and 1


class Axis:
    """Places the values of one parameter between 0 and 1: by logarithm, linearly, or by category."""

    def __init__(self, values: Sequence[Any], *, log: bool) -> None:
        self.log = log
        numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        self.categories = [] if numeric else sorted({str(value) for value in values})
        places = [self._raw(value) for value in values]
        self.low, self.high = min(places), max(places)

    def _raw(self, value: Any) -> float:
        if self.categories:
            return self.categories.index(str(value))
        return float(np.log10(value)) if self.log else float(value)

    def place(self, value: Any) -> float:
        return (self._raw(value) - self.low) / (self.high - self.low) if self.high > self.low else 0.5

    def ticks(self) -> list[tuple[float, str]]:
        """Every category, or the two ends."""
        if self.categories:
            return [(self.place(each), each) for each in self.categories]
        ends = dict.fromkeys((self.low, self.high))
        return [(0.5 if len(ends) == 1 else n, f"{10**e if self.log else e:.3g}") for n, e in enumerate(ends)]


def draw(
    objective: str, values: Sequence[float], params: Sequence[Mapping[str, Any]], keys: Mapping[str, bool]
) -> Figure:
    """`values` and `params`: of each trial; `keys`: whether each has a logarithmic axis.

    A line goes on, dotted, past a parameter that its trial does not have.
    """
    axes_of = {key: Axis([each[key] for each in params if key in each], log=log) for key, log in keys.items()}
    figure = Figure(figsize=(2.5 + 1.5 * (len(keys) + 1), 5), layout="constrained")
    axes = figure.add_subplot()
    result = Axis(values, log=False)
    colours = ScalarMappable(Normalize(min(values), max(values)), "viridis")

    def colour_of(value: float) -> Any:
        return colours.to_rgba(np.array([value]))[0]

    has_gaps = False
    for value, given in sorted(zip(values, params, strict=True), key=lambda each: each[0]):
        points = [(0, result.place(value))]
        for number, (key, axis) in enumerate(axes_of.items(), 1):
            if key in given:
                points.append((number, axis.place(given[key])))
        for start, end in pairwise(points):
            is_gap = end[0] > start[0] + 1
            has_gaps |= is_gap
            style = ":" if is_gap else "-"
            axes.plot(*zip(start, end, strict=True), style, color=colour_of(value), linewidth=1.2)
    for number, axis in enumerate((result, *axes_of.values())):
        axes.axvline(number, color="0.3", linewidth=0.8)
        for place, text in axis.ticks():
            axes.annotate(
                text, (number, place), (3, 0), "data", "offset points", fontsize=8, va="center",
                bbox={"boxstyle": "round,pad=0.15", "color": "white", "alpha": 0.75}, parse_math=False,
            )  # fmt: skip
    axes.set_xticks(range(len(keys) + 1), [objective, *keys], rotation=25, ha="right", parse_math=False)
    axes.set(xlim=(-0.2, len(keys) + 0.8), ylim=(-0.06, 1.06), yticks=[])
    if has_gaps:
        axes.plot([], [], ":", color="0.3", label="past parameters that the trial does not have")
        figure.legend(loc="outside upper left", fontsize=8)
    figure.colorbar(colours, ax=axes, label=objective)
    return figure
