"""Line charts as plain numbers, which a template draws as SVG: they need no script."""

from collections.abc import Sequence
from dataclasses import dataclass

from api.pages.plots import Tick

WIDTH, HEIGHT = 600.0, 220.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 12.0, 12.0, 28.0  # margins of the plot, in units of the picture
TICKS = 4
COLOURS = 6  # that style sheets name
MOST_POINTS = 900  # of a chart
FEWEST_POINTS = 20  # of a line, however many lines there are
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Series:
    """Values by x, in its order. Lines of one `group` share a colour; `kind` says what else differs."""

    group: str
    points: Points
    kind: str = ""
    is_dashed: bool = False

    @property
    def name(self) -> str:
        return ", ".join(filter(None, (self.kind, self.group)))


@dataclass(frozen=True)
class Line:
    name: str
    points: str  # as the attribute of a polyline
    values: str  # of the same points, as `x:y x:y`
    colour: int  # from 1
    is_dashed: bool


@dataclass(frozen=True)
class Key:
    """What a colour stands for; of a group with one line also its last value."""

    text: str
    colour: int


@dataclass(frozen=True)
class Chart:
    title: str
    lines: list[Line]
    keys: list[Key]
    help: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]


def line_chart(title: str, series: Sequence[Series], help: str = "") -> Chart | None:
    """A chart of lines over the same x; None if there is no point at all. Long lines are thinned."""
    drawn = [each for each in series if each.points]
    if not drawn:
        return None
    most = max(FEWEST_POINTS, MOST_POINTS // len(drawn))
    lines = [(each, _thinned(each.points, most)) for each in drawn]
    xs = [x for _, points in lines for x, _ in points]
    ys = [y for _, points in lines for _, y in points]
    x_low, x_high, y_low, y_high = min(xs), max(xs), min(ys), max(ys)
    groups = list(dict.fromkeys(each.group for each in drawn))

    def across(x: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * _place(x, x_low, x_high)

    def up(y: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * _place(y, y_low, y_high)

    return Chart(
        title,
        [
            Line(
                each.name,
                # A single point is a line to itself, which is drawn as a dot.
                " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in [points[0], *(points[1:] or points)]),
                " ".join(f"{x:g}:{y:.4g}" for x, y in points),
                groups.index(each.group) % COLOURS + 1,
                each.is_dashed,
            )
            for each, points in lines
        ],
        [Key(_key(group, drawn), number % COLOURS + 1) for number, group in enumerate(groups)],
        help,
        [Tick(round(across(x), 1), f"{x:.0f}") for x in sorted({x_low, x_high})],
        [Tick(round(up(y), 1), f"{y:.3g}") for y in _steps(y_low, y_high)],
    )


def _key(group: str, series: Sequence[Series]) -> str:
    own = [each for each in series if each.group == group]
    return f"{group}: {own[0].points[-1][1]:.4g}" if len(own) == 1 else group


def _thinned(points: Points, most: int) -> Points:
    """Evenly; the last point stays."""
    if len(points) <= most:
        return points
    step = -(-len(points) // (most - 1))
    return [*points[:-1:step], points[-1]]


def _place(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5


def _steps(low: float, high: float) -> list[float]:
    if high <= low:
        return [low]
    return [low + (high - low) * step / (TICKS - 1) for step in range(TICKS)]
