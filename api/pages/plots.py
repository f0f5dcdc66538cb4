"""Points and lines over axes as plain numbers, which a template draws as SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MOST_TICKS = 5
MOST_CHOICES = 8  # that are written beside an axis
LONGEST_TEXT = 14  # characters beside an axis
JITTER = (math.sqrt(5) - 1) / 2  # its multiples spread evenly over 0 to 1


@dataclass(frozen=True)
class Tick:
    at: float  # in units of the picture
    text: str


@dataclass(frozen=True)
class Axis:
    """Places values between 0 and 1."""

    low: float
    high: float
    log: bool = False
    choices: Sequence[Any] = ()  # instead of numbers

    def place(self, value: Any, number: int | None = None) -> float:
        """Of equal choices those with another `number` are a little beside each other."""
        if self.choices:
            spread = 0.5 if number is None else 0.2 + 0.6 * (number * JITTER % 1)
            return (self.choices.index(value) + spread) / len(self.choices)
        if self.high <= self.low:
            return 0.5
        low, high, value = (math.log(each) if self.log else each for each in (self.low, self.high, value))
        return float((value - low) / (high - low))

    def ticks(self) -> list[tuple[float, str]]:
        """Places and texts: round numbers, or choices."""
        if self.choices:
            step = -(-len(self.choices) // MOST_CHOICES)
            return [(self.place(each), _cut(name_of_choice(each))) for each in self.choices[::step]]
        values = round_powers(self.low, self.high) if self.log else round_steps(self.low, self.high)
        return [(self.place(value), f"{value:.4g}") for value in values]


@dataclass(frozen=True)
class Marks:
    """Dots or lines of one look, as one path; each part of it belongs to a trial."""

    look: str  # its class in the style sheet
    path: str
    trials: str = ""  # their numbers, one for each part; empty for a line that is no trial


@dataclass(frozen=True)
class Frame:
    """The size of a picture, and where in it the values lie; in its own units."""

    width: int
    height: int
    left: int = 60
    right: int = 14
    top: int = 12
    bottom: int = 34

    def across(self, place: float) -> int:
        """Whole units, which are about a pixel: a page has thousands of them."""
        return round(self.left + (self.width - self.left - self.right) * place)

    def up(self, place: float) -> int:
        return round(self.height - self.bottom - (self.height - self.top - self.bottom) * place)


@dataclass(frozen=True)
class Plot:
    title: str
    help: str
    x_name: str
    y_name: str
    frame: Frame
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    marks: list[Marks]
    legend: list[tuple[str, str]]  # look and meaning


def numbers(values: Sequence[float], *, log: bool = False) -> Axis:
    """An axis for these numbers; `values` may not be empty."""
    return Axis(min(values), max(values), log)


def spans_decades(values: Sequence[float]) -> bool:
    """Whether numbers are better placed by their logarithm."""
    return min(values) > 0 and max(values) > 100 * min(values)


def dots(points: Sequence[tuple[float, float]]) -> str:
    """A path of lines without length, which round ends make dots."""
    return "".join(f"M{x:g} {y:g}h0" for x, y in points)


def line(points: Sequence[tuple[float, float]]) -> str:
    """A path through all points; a single one is a dot."""
    (x, y), *others = points
    return f"M{x:g} {y:g}" + ("".join(f"L{x:g} {y:g}" for x, y in others) or "h0")


def steps(points: Sequence[tuple[float, float]], end: float) -> str:
    """A path that keeps each value until the next one, the last until `end`."""
    (x, y), *others = points
    return f"M{x:g} {y:g}" + "".join(f"H{x:g}V{y:g}" for x, y in others) + f"H{end:g}"


def ticks_across(axis: Axis, frame: Frame) -> list[Tick]:
    return [Tick(frame.across(place), text) for place, text in axis.ticks()]


def ticks_up(axis: Axis, frame: Frame) -> list[Tick]:
    return [Tick(frame.up(place), text) for place, text in axis.ticks()]


def round_steps(low: float, high: float) -> list[float]:
    """Up to `MOST_TICKS` multiples of 1, 2, 2.5 or 5 times a power of ten; the value itself if it is one."""
    if not high > low:
        return [low]
    rough = (high - low) / MOST_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [place * step for place in range(first, last + 1)] or [low, high]


def round_powers(low: float, high: float) -> list[float]:
    """Powers of ten, with 2 and 5 times them in a short range; both ends where there are fewer than two."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = max(1, -(-(len(exponents) - 2) // MOST_TICKS))
    factors = (1, 2, 5) if math.log10(high / low) < 2 else (1,)
    found = [factor * 10.0**exponent for exponent in exponents[::every] for factor in factors]
    within = [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
    return within if len(within) > 1 else sorted({low, high})


def name_of_choice(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "none" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"
