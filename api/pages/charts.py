"""Line charts as plain numbers, which a template draws as SVG: they need no script."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 600.0, 220.0
LEFT, RIGHT, TOP, BOTTOM = 56.0, 12.0, 12.0, 28.0  # margins of the plot, in units of the picture
TICKS = 4
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Tick:
    at: float  # in units of the picture
    text: str


@dataclass(frozen=True)
class Line:
    name: str
    points: str  # as the attribute of a polyline
    number: int  # from 1, for its colour
    last: str


@dataclass(frozen=True)
class Chart:
    title: str
    lines: list[Line]
    x_ticks: list[Tick]
    y_ticks: list[Tick]


def line_chart(title: str, series: Mapping[str, Points]) -> Chart | None:
    """A chart of up to six lines over the same x; None if there is no point at all."""
    drawn = {name: points for name, points in series.items() if points}
    if not drawn:
        return None
    xs = [x for points in drawn.values() for x, _ in points]
    ys = [y for points in drawn.values() for _, y in points]
    x_low, x_high, y_low, y_high = min(xs), max(xs), min(ys), max(ys)

    def across(x: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * _place(x, x_low, x_high)

    def up(y: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * _place(y, y_low, y_high)

    return Chart(
        title,
        [
            Line(
                name,
                # A single point is a line to itself, which is drawn as a dot.
                " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in [points[0], *(points[1:] or points)]),
                number,
                f"{points[-1][1]:.4g}",
            )
            for number, (name, points) in enumerate(drawn.items(), 1)
        ],
        [Tick(round(across(x), 1), f"{x:.0f}") for x in sorted({x_low, x_high})],
        [Tick(round(up(y), 1), f"{y:.3g}") for y in _steps(y_low, y_high)],
    )


def _place(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5


def _steps(low: float, high: float) -> list[float]:
    if high <= low:
        return [low]
    return [low + (high - low) * step / (TICKS - 1) for step in range(TICKS)]
