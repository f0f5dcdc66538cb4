"""The values of a trial: metrics of its model on validation tracks, never on test tracks."""

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from core.config.models import is_single_label
from core.errors import NotMeasurable
from core.ml.evaluation.arrays import argmax_decisions
from core.ml.evaluation.hierarchy import enforce_hierarchy
from core.ml.evaluation.metrics import evaluate
from core.ml.models import artifact
from core.ml.models.artifact import CARD_FILE, StoredCard
from core.ml.training.records import read_validation
from core.ml.training.reports import TrainingResult
from core.ml.training.validation import DEFAULT_THRESHOLD

TIMED_PASSES = 20


def measure(result: TrainingResult, metrics: Sequence[str]) -> tuple[float, ...]:
    """Metrics of the kept weights on the validation tracks, or out of fold; latency and size of the model.

    Raises NotMeasurable for an undefined metric, such as the ROC-AUC if all tracks have the same labels.
    """
    held_out = read_validation(result.folder)
    card = StoredCard.model_validate_json((result.folder / CARD_FILE).read_bytes())
    exclusive = is_single_label(card.model)
    scores = held_out.scores if exclusive else enforce_hierarchy(held_out.scores, result.labels, card.parents)
    decisions = argmax_decisions(scores) if exclusive else None
    values = evaluate(held_out.targets, scores, result.labels, DEFAULT_THRESHOLD, decisions).summary()
    best = [report for report in result.history if report.is_best]
    if best and best[-1].validation_loss is not None:
        values["validation_loss"] = best[-1].validation_loss
    if {"latency_ms", "parameters"} & set(metrics):
        values |= _cost(result.folder)
    missing = [metric for metric in metrics if metric not in values]
    if missing:
        raise NotMeasurable(
            f"{', '.join(missing)} cannot be computed from {len(held_out.targets)} validation tracks."
        )
    return tuple(values[metric] for metric in metrics)


def _cost(folder: Path) -> dict[str, float]:
    """The number of parameters, and the median milliseconds that one thread needs for one patch."""
    stored = artifact.load(folder)
    patch = torch.zeros(1, 1, stored.card.features.n_mels, stored.card.model.patch_frames)
    return {
        "parameters": float(sum(parameter.numel() for parameter in stored.model.parameters())),
        "latency_ms": _latency_ms(stored.model, patch),
    }


@torch.inference_mode()
def _latency_ms(model: nn.Module, patch: torch.Tensor) -> float:
    def elapsed_s() -> float:
        start = time.perf_counter()
        model(patch)
        return time.perf_counter() - start

    with torch_threads(1):
        elapsed_s()  # the first one also plans
        return 1000 * statistics.median(elapsed_s() for _ in range(TIMED_PASSES))


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch compute in `count` threads within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
