"""Plots of a dataset's description."""

import io
import warnings
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from core.ml.datasets.describe import Description

_MAX_LABELS = 60
_DPI = 120


def write_plots(description: Description, folder: Path) -> list[Path]:
    """Write PNG files of labels, durations and the split to `folder`, if there is data for them."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    if description.labels:
        written.append(_draw_labels(description, folder / "labels.png"))
    if description.durations is not None:
        written.append(_draw_durations(description.durations.each_s, folder / "durations.png"))
    if any(description.parts.values()):
        written.append(_draw_split(description, folder / "split.png"))
    return written


def _draw_labels(description: Description, path: Path) -> Path:
    shown = description.labels[:_MAX_LABELS]
    figure, axes = _figure(rows=len(shown))
    places = np.arange(len(shown))
    axes.barh(places - 0.2, [one.tracks for one in shown], 0.4, label="tracks")
    axes.barh(places + 0.2, [one.artists for one in shown], 0.4, label="artists")
    _name_rows(axes, [one.label for one in shown])
    title = f"{description.name}: {len(shown)} of {len(description.labels)} labels"
    axes.set_title(title, parse_math=False)
    axes.legend()
    return _save(figure, path)


def _draw_durations(seconds: tuple[float, ...], path: Path) -> Path:
    figure, axes = _figure(rows=12)
    axes.hist(seconds, bins=min(50, max(5, len(seconds) // 5)))
    axes.set_xlabel("duration in seconds")
    axes.set_ylabel("tracks")
    return _save(figure, path)


def _draw_split(description: Description, path: Path) -> Path:
    """Share of each label's tracks per part, in per cent."""
    selected = {label for counts in description.parts.values() for label in counts}
    shown = [one.label for one in description.labels if one.label in selected][:_MAX_LABELS]
    figure, axes = _figure(rows=len(shown))
    left = np.zeros(len(shown))
    tracks = np.array([[counts.get(label, 0) for label in shown] for counts in description.parts.values()])
    for name, shares in zip(description.parts, 100 * tracks / tracks.sum(0).clip(1), strict=True):
        axes.barh(range(len(shown)), shares, left=left, label=name)
        left += shares
    _name_rows(axes, shown)
    axes.set_xlabel("% of the label's tracks")
    figure.legend(loc="outside upper center", ncols=min(5, len(tracks)))
    return _save(figure, path)


def _figure(rows: int) -> tuple[Figure, Axes]:
    """A figure without pyplot, which would keep it in memory and open windows."""
    figure = Figure(figsize=(8, max(3.0, 1.2 + 0.22 * rows)), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _name_rows(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), [name[:40] for name in names], fontsize=7, parse_math=False)
    axes.invert_yaxis()


def _save(figure: Figure, path: Path) -> Path:
    path.write_bytes(png(figure))
    return path


def png(figure: Figure) -> bytes:
    """The figure as PNG data."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Labels in scripts that the font lacks are drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()
