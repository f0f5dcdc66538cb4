"""The values of a trial: metrics of its model on validation tracks, never on test tracks."""

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from core.config.models import is_single_label
from core.errors import NotMeasurable
from core.ml.evaluation.arrays import Bools, Floats, argmax_decisions
from core.ml.evaluation.calibration import normalise
from core.ml.evaluation.hierarchy import enforce_hierarchy
from core.ml.evaluation.measurable import learnt_labels, measured_tracks
from core.ml.evaluation.metrics import evaluate
from core.ml.evaluation.thresholds import choose_thresholds, cross_fitted
from core.ml.inference.tagger import postprocess_scores
from core.ml.models import artifact
from core.ml.models.artifact import CARD_FILE, StoredCard
from core.ml.training.records import ValidationScores, read_validation
from core.ml.training.reports import TrainingResult

TIMED_PASSES = 20
FOLDS = 5  # in which thresholds are chosen and measured


def measure(result: TrainingResult, metrics: Sequence[str]) -> tuple[float, ...]:
    """Metrics of the kept weights on the validation tracks, or out of fold; latency and size of the model.

    Raises NotMeasurable for an undefined metric, such as the ROC-AUC if all tracks have the same labels.
    """
    held_out = read_validation(result.folder)
    card = StoredCard.model_validate_json((result.folder / CARD_FILE).read_bytes())
    exclusive = is_single_label(card.model)
    given = held_out.scores
    scores = normalise(given) if exclusive else enforce_hierarchy(given, result.labels, card.parents)
    decisions = argmax_decisions(scores) if exclusive else _decisions(card, held_out)
    truth = held_out.targets > 0
    learnt = learnt_labels(truth, held_out.known)
    kept = measured_tracks(truth, learnt)
    values = evaluate(
        truth[kept], scores[kept], result.labels, card.thresholds, decisions[kept], learnt=learnt
    ).summary()
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


def _decisions(card: StoredCard, held_out: ValidationScores) -> Bools:
    """Decisions (N, L) on the scores as served, by thresholds that were chosen on other tracks."""
    scores = postprocess_scores(card, held_out.scores).astype(np.float64)

    def choose(rows: npt.NDArray[np.intp]) -> Floats:
        return choose_thresholds(held_out.targets[rows], scores[rows], held_out.known[rows])

    return cross_fitted(held_out.targets, scores, held_out.folds(FOLDS), choose)


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
