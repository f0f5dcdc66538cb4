"""Plots of a training as PNG, drawn without a display."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from core.ml.datasets.plots import png
from core.ml.training.reports import EpochReport

VALIDATION_METRICS = ("roc_auc_macro", "pr_auc_macro", "f1_macro")
MAX_NAMED_LABELS = 60  # label names of more would be illegible and are omitted


def training_curves(history: Sequence[EpochReport]) -> bytes:
    """Losses and, if the epochs have them, validation metrics by epoch: a line for each fold."""
    has_loss = any(report.train_loss is not None or report.validation_loss is not None for report in history)
    has_metrics = any(name in report.validation for report in history for name in VALIDATION_METRICS)
    panels = [draw for draw, is_there in ((_losses, has_loss), (_metrics, has_metrics)) if is_there]
    figure = Figure(figsize=(5 * max(len(panels), 1), 4), layout="constrained")
    if not panels:
        figure.text(0.5, 0.5, "This kind of model has neither losses nor metrics by epoch.", ha="center")
    for number, draw in enumerate(panels, 1):
        axes = figure.add_subplot(1, len(panels), number)
        draw(axes, history)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    return png(figure)


def _losses(axes: Axes, history: Sequence[EpochReport]) -> None:
    """A colour for each fold; validation is dashed."""
    by_fold = _by_fold(history)
    whole = ", all tracks" if len(by_fold) > 1 else ""
    for number, (fold, reports) in enumerate(by_fold.items()):
        epochs = [report.epoch for report in reports]
        suffix = whole if fold is None else f", fold {fold}"
        losses = {
            "training": [report.train_loss for report in reports],
            "validation": [report.validation_loss for report in reports],
        }
        for (name, values), style in zip(losses.items(), (".-", ".--"), strict=True):
            if any(value is not None for value in values):
                known = [np.nan if value is None else value for value in values]
                axes.plot(epochs, known, style, color=f"C{number % 10}", label=f"{name}{suffix}")
    axes.set(ylabel="loss", title="Loss")


def _metrics(axes: Axes, history: Sequence[EpochReport]) -> None:
    """A colour for each metric, which the folds share."""
    for number, name in enumerate(VALIDATION_METRICS):
        label: str | None = name
        for reports in _by_fold(history).values():
            if any(name in report.validation for report in reports):
                values = [report.validation.get(name, np.nan) for report in reports]
                epochs = [report.epoch for report in reports]
                axes.plot(epochs, values, ".-", color=f"C{number}", label=label)
                label = None
    axes.set(ylim=(0, 1), ylabel="on validation tracks", title="Validation")


def _by_fold(history: Sequence[EpochReport]) -> dict[int | None, list[EpochReport]]:
    found: dict[int | None, list[EpochReport]] = {}
    for report in history:
        found.setdefault(report.fold, []).append(report)
    return found


def co_occurrence(counts: npt.NDArray[np.int64], labels: Sequence[str]) -> bytes:
    """Counts (L, L) of tracks with a label (row) that were given another (column), as shares of the row."""
    tracks = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 3 + min(len(labels), MAX_NAMED_LABELS) * 0.22
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(counts / tracks, vmin=0, vmax=1, cmap="Blues")
    axes.set(xlabel="label given", ylabel="label of the track")
    if len(labels) <= MAX_NAMED_LABELS:
        axes.set_xticks(range(len(labels)), labels, rotation=90, parse_math=False)
        axes.set_yticks(range(len(labels)), labels, parse_math=False)
    figure.colorbar(image, label="share")
    return png(figure)
