"""Plots of a training as PNG, drawn without a display."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from core.ml.datasets.plots import png
from core.ml.training.reports import EpochReport

MAX_NAMED_LABELS = 60  # label names of more would be illegible and are omitted


def training_curves(history: Sequence[EpochReport]) -> bytes:
    """Losses and validation metrics by epoch, one line per fold."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    losses, metrics = figure.subplots(1, 2)
    for fold in dict.fromkeys(report.fold for report in history):
        reports = [report for report in history if report.fold == fold]
        epochs = [report.epoch for report in reports]
        suffix = "" if fold is None else f", fold {fold}"
        if any(report.train_loss is not None for report in reports):
            losses.plot(epochs, [report.train_loss for report in reports], ".-", label=f"training{suffix}")
        if any(report.validation_loss is not None for report in reports):
            losses.plot(epochs, [report.validation_loss for report in reports], ".-", label="validation")
        for name in ("roc_auc_macro", "pr_auc_macro", "f1_macro"):
            if any(name in report.validation for report in reports):
                values = [report.validation.get(name, np.nan) for report in reports]
                metrics.plot(epochs, values, ".-", label=name)
    losses.set(xlabel="epoch", ylabel="loss", title="Loss")
    metrics.set(xlabel="epoch", ylim=(0, 1), title="Validation")
    for axes in (losses, metrics):
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="small")
    return png(figure)


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
