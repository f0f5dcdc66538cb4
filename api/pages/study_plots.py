"""Pictures of a study: how it went on, which parameters matter, and how values depend on each."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.pages.plots import (
    Axis,
    Frame,
    Marks,
    Plot,
    Tick,
    dots,
    line,
    numbers,
    spans_decades,
    steps,
    ticks_across,
    ticks_up,
)
from core.config.tuning import Choices, Dimension, TuningConfig
from core.output.measures import TITLES
from core.services.trial_lists import Outcome
from core.states import TrialState

MOST_DRAWN = 200  # trials
MOST_SLICES = 12
MOST_AXES = 8  # of parallel coordinates, besides that of the objective
LEVELS = 5  # looks of lines, from the worst values to the best ones
NAMES = TITLES | {
    "accuracy": "Accuracy",
    "validation_loss": "Validation loss",
    "latency_ms": "Latency in ms",
    "parameters": "Number of parameters",
}
HISTORY = Frame(600, 260)
SLICE = Frame(340, 220)
LINES = Frame(1200, 330, left=70, right=130, top=30, bottom=46)


@dataclass(frozen=True)
class Complete:
    """A complete trial that is drawn."""

    number: int
    value: float  # of the objective that is shown
    values: Sequence[float]
    params: Mapping[str, Any]


@dataclass(frozen=True)
class LineAxis:
    """One of the parallel axes."""

    name: str
    at: int
    ticks: list[Tick]


@dataclass(frozen=True)
class ParallelPlot:
    frame: Frame
    axes: list[LineAxis]
    marks: list[Marks]
    left_out: int  # keys
    has_gaps: bool


def title_of(metric: str) -> str:
    return NAMES.get(metric, metric.replace("_", " "))


def value_of(outcome: Outcome, objective: int) -> float | None:
    """None for a trial that is not complete, or whose value cannot be drawn."""
    if outcome.state != TrialState.COMPLETE or outcome.values is None:
        return None
    value = outcome.values[objective]
    return value if math.isfinite(value) else None


def choose_drawn(outcomes: Sequence[Outcome], front: Collection[int] = ()) -> list[Outcome]:
    """At most `MOST_DRAWN` of them by number: the best so far and those of the front, then as many others,
    evenly spread."""
    if len(outcomes) <= MOST_DRAWN:
        return list(outcomes)
    important = [each for each in outcomes if each.is_best or each.number in front]
    first = {each.number for each in _spread(important, MOST_DRAWN // 2)}
    others = [each for each in outcomes if each.number not in first]
    kept = first | {each.number for each in _spread(others, MOST_DRAWN - len(first))}
    return [each for each in outcomes if each.number in kept]


def _spread(found: Sequence[Outcome], most: int) -> list[Outcome]:
    """At most `most` of them, evenly spaced, with the first and the last."""
    if len(found) <= most:
        return list(found)
    return [found[round(place * (len(found) - 1) / (most - 1))] for place in range(most)]


def history(metric: str, objective: int, drawn: Sequence[Outcome]) -> Plot | None:
    """The value of each trial by its number, and the best so far; at the bottom those without a value."""
    valued = [(each, value) for each in drawn if (value := value_of(each, objective)) is not None]
    if not valued:
        return None
    across = Axis(0, max(drawn[-1].number, 1))
    up = _value_axis([value for _, value in valued])
    frame = HISTORY

    def place(outcome: Outcome, value: float) -> tuple[float, float]:
        return frame.across(across.place(outcome.number)), frame.up(0.06 + 0.94 * up.place(value))

    marks = []
    for look, is_best in (("complete", False), ("best", True)):
        found = [(each, value) for each, value in valued if each.is_best is is_best]
        marks += _dots(look, [(each.number, place(each, value)) for each, value in found])
    line_points = [place(each, value) for each, value in valued if each.is_best]
    marks.insert(0, Marks("best-line", steps(line_points, frame.across(1))))
    for look in (TrialState.PRUNED, TrialState.FAILED):
        at_bottom = [
            (each.number, (frame.across(across.place(each.number)), frame.up(0)))
            for each in drawn
            if each.state == look
        ]
        marks += _dots(look, at_bottom)
    looks = {mark.look for mark in marks}
    meanings = {
        "complete": "complete",
        "best": "best so far",
        "pruned": "pruned",
        "failed": "failed",
    }
    return Plot(
        "History",
        "",
        "trial",
        _named(metric, up),
        frame,
        ticks_across(across, frame),
        [Tick(frame.up(0.06 + 0.94 * place), text) for place, text in up.ticks()],
        marks,
        [(look, meaning) for look, meaning in meanings.items() if look in looks],
    )


def front(config: TuningConfig, drawn: Sequence[Outcome], on_front: Collection[int]) -> Plot | None:
    """The first two objectives against each other, with the trials that none surpasses in all of them."""
    points = [
        (each, across, up)
        for each in drawn
        if (across := value_of(each, 0)) is not None and (up := value_of(each, 1)) is not None
    ]
    if not points:
        return None
    frame = HISTORY
    x_axis, y_axis = _value_axis([x for _, x, _ in points]), _value_axis([y for _, _, y in points])

    def place(x: float, y: float) -> tuple[float, float]:
        return frame.across(0.02 + 0.96 * x_axis.place(x)), frame.up(0.03 + 0.94 * y_axis.place(y))

    marks = _dots(
        "complete", [(each.number, place(x, y)) for each, x, y in points if each.number not in on_front]
    )
    of_front = sorted((x, y, each.number) for each, x, y in points if each.number in on_front)
    marks += _dots("best", [(number, place(x, y)) for x, y, number in of_front])
    metrics = [objective.metric for objective in config.objectives]
    if len(metrics) == 2 and len(of_front) > 1:
        marks.insert(0, Marks("best-line", line([place(x, y) for x, y, _ in of_front])))
    further = f", of {len(metrics)} objectives" if len(metrics) > 2 else ""
    return Plot(
        "Pareto front",
        f"No trial is better than these in all objectives{further}.",
        _named(metrics[0], x_axis),
        _named(metrics[1], y_axis),
        frame,
        [Tick(frame.across(0.02 + 0.96 * place), text) for place, text in x_axis.ticks()],
        [Tick(frame.up(0.03 + 0.94 * place), text) for place, text in y_axis.ticks()],
        marks,
        [("complete", "complete"), ("best", "on the front")],
    )


def slices(
    config: TuningConfig, metric: str, keys: Sequence[str], trials: Sequence[Complete], best: set[int]
) -> list[Plot]:
    """The value of each trial by one of its parameters; a picture for each key that some trial has."""
    found = []
    for key in keys[:MOST_SLICES]:
        having = [trial for trial in trials if key in trial.params]
        if not having:
            continue
        x_axis = axis_of(config.space[key], [trial.params[key] for trial in having])
        y_axis = _value_axis([trial.value for trial in trials])
        points = [
            (
                trial.number,
                (
                    SLICE.across(0.03 + 0.94 * x_axis.place(trial.params[key], trial.number)),
                    SLICE.up(y_axis.place(trial.value)),
                ),
            )
            for trial in having
        ]
        others = [(number, at) for number, at in points if number not in best]
        without = len(trials) - len(having)
        found.append(
            Plot(
                key,
                f"{without} of the trials do not have it." if without else "",
                "logarithmic" if x_axis.log else "",
                _named(metric, y_axis),
                SLICE,
                [Tick(SLICE.across(0.03 + 0.94 * place), text) for place, text in x_axis.ticks()],
                ticks_up(y_axis, SLICE),
                _dots("complete", others) + _dots("best", [each for each in points if each[0] in best]),
                [],
            )
        )
    return found


def parallel(
    config: TuningConfig, metric: str, keys: Sequence[str], trials: Sequence[Complete], best: set[int]
) -> ParallelPlot | None:
    """A line for each trial over an axis for its value and one for each key, the best on top."""
    tried = [key for key in keys if any(key in trial.params for trial in trials)]
    shown = tried[:MOST_AXES]
    if not shown:
        return None
    maximizes = next(each.maximizes for each in config.objectives if each.metric == metric)
    values = _value_axis([trial.value for trial in trials])
    axes = [
        axis_of(config.space[key], [trial.params[key] for trial in trials if key in trial.params])
        for key in shown
    ]
    has_gaps = any(key not in trial.params for trial in trials for key in shown)
    floor = 0.14 if has_gaps else 0.0  # below it lies what a trial does not have
    places = [LINES.across(number / len(shown)) for number in range(len(shown) + 1)]

    def path(trial: Complete) -> str:
        points = [(places[0], LINES.up(floor + (1 - floor) * values.place(trial.value)))]
        for at, key, axis in zip(places[1:], shown, axes, strict=True):
            place = floor + (1 - floor) * axis.place(trial.params[key]) if key in trial.params else 0.0
            points.append((at, LINES.up(place)))
        return line(points)

    worst_first = sorted(trials, key=lambda trial: trial.value if maximizes else -trial.value)
    looks: dict[str, list[Complete]] = {}
    for rank, trial in enumerate(worst_first):
        look = "best" if trial.number in best else f"level-{1 + LEVELS * rank // len(worst_first)}"
        looks.setdefault(look, []).append(trial)
    looks["best"] = looks.pop("best", [])  # on top
    names = [title_of(metric), *shown]
    return ParallelPlot(
        LINES,
        [
            LineAxis(
                f"{name} (logarithmic)" if axis.log else name,
                at,
                [Tick(LINES.up(floor + (1 - floor) * place), text) for place, text in axis.ticks()],
            )
            for name, at, axis in zip(names, places, [values, *axes], strict=True)
        ],
        [
            Marks(look, "".join(map(path, of_look)), " ".join(str(trial.number) for trial in of_look))
            for look, of_look in looks.items()
            if of_look
        ],
        len(tried) - len(shown),
        has_gaps,
    )


def axis_of(dimension: Dimension, values: Sequence[Any]) -> Axis:
    """Of all that is searched, or of the values of trials that have others, as those of an older space."""
    if isinstance(dimension, Choices) or not all(isinstance(value, int | float) for value in values):
        known = dimension.choices if isinstance(dimension, Choices) else ()
        return Axis(0, 0, choices=list(dict.fromkeys([*known, *values])))
    lowest, highest = min(dimension.low, *values), max(dimension.high, *values)
    return Axis(lowest, highest, dimension.log and lowest > 0)


def _value_axis(values: Sequence[float]) -> Axis:
    return numbers(values, log=spans_decades(values))


def _named(metric: str, axis: Axis) -> str:
    return f"{title_of(metric)} (logarithmic)" if axis.log else title_of(metric)


def _dots(look: str, points: Sequence[tuple[int, tuple[float, float]]]) -> list[Marks]:
    """None if there is no point. `points`: number of a trial, and where it lies."""
    if not points:
        return []
    return [Marks(look, dots([at for _, at in points]), " ".join(str(number) for number, _ in points))]
