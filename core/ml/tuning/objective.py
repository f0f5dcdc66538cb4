"""What a trial is worth: a training, judged on tracks that it has not learnt from, never on test tracks."""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.config.experiment import ExperimentConfig, parse_experiment
from core.config.models import is_single_label
from core.config.search_space import explicit_fields, replaced
from core.config.tuning import METRICS, Metric
from core.errors import NotMeasurable
from core.ml.datasets.examples import Dataset
from core.ml.evaluation.arrays import argmax_decisions
from core.ml.evaluation.hierarchy import enforce_hierarchy
from core.ml.evaluation.metrics import evaluate
from core.ml.models import artifact
from core.ml.models.artifact import CARD_FILE, StoredCard
from core.ml.training.context import OnTrack, ignore_progress
from core.ml.training.records import read_validation
from core.ml.training.reports import EpochReport, TrainingResult
from core.ml.training.train import train
from core.ml.training.validation import DEFAULT_THRESHOLD

# Names that the usual search spaces have for keys of an experiment.
SHORT = {
    "learning_rate": "training.lr",
    "lr": "training.lr",
    "batch_size": "training.batch_size",
    "weight_decay": "training.weight_decay",
    "optimizer": "training.optimizer",
    "base_channels": "model.base_channels",
    "dropout": "model.dropout",
}
TIMED_PASSES = 20


def train_trial(
    config: ExperimentConfig,
    dataset: Dataset,
    metrics: Sequence[str],
    on_epoch: Callable[[EpochReport], None],
    *,
    folder: Path,
    cache_dir: Path,
    models_dir: Path,
    device: str = "auto",
    should_stop: Callable[[], bool] = lambda: False,
    on_track: OnTrack = ignore_progress,
) -> tuple[float, ...]:
    """Train, and measure what came out; resumed like every training. `on_epoch` may raise to end it."""
    result = train(
        config,
        dataset,
        on_epoch,
        folder=folder,
        cache_dir=cache_dir,
        models_dir=models_dir,
        device=device,
        should_stop=should_stop,
        on_track=on_track,
    )
    return measure(result, metrics)


def training_objective(
    config: ExperimentConfig,
    dataset: Dataset,
    *,
    folder: Path,
    cache_dir: Path,
    models_dir: Path,
    metric: Metric = "roc_auc_macro",
    device: str = "auto",
    on_epoch: Callable[[EpochReport], None] = lambda _: None,
) -> Callable[..., float]:
    """The objective of a `BayesianOptimizer`: parameters are dotted keys of the experiment, or `SHORT` ones.

    Every trial gets a folder of its own below `folder`. What it reports of an epoch is the validation loss,
    in the direction of `metric`, one of `METRICS`.
    """
    sign = -1 if METRICS[metric] == "maximize" else 1
    base = explicit_fields(config)
    numbers = itertools.count()

    def objective(params: Mapping[str, Any], report: Callable[[int, float], None] | None = None) -> float:
        content = replaced(base, {SHORT.get(key, key): value for key, value in params.items()})

        def tell(epoch: EpochReport) -> None:
            on_epoch(epoch)
            if report is not None and epoch.validation_loss is not None:
                report(epoch.epoch, sign * epoch.validation_loss)

        (value,) = train_trial(
            parse_experiment(content),
            dataset,
            [metric],
            tell,
            folder=folder / f"trial-{next(numbers)}" / "model",
            cache_dir=cache_dir,
            models_dir=models_dir,
            device=device,
        )
        return value

    return objective


def measure(result: TrainingResult, metrics: Sequence[str]) -> tuple[float, ...]:
    """Metrics of the kept weights on the validation tracks, or out of fold; time and size of the model.

    Raises NotMeasurable for what cannot be told, as the ROC-AUC where every track has the same labels.
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
            f"{', '.join(missing)} cannot be told from {len(held_out.targets)} validation tracks."
        )
    return tuple(values[metric] for metric in metrics)


def _cost(folder: Path) -> dict[str, float]:
    """Parameters, and the median milliseconds that one thread needs for one patch."""
    stored = artifact.load(folder)
    patch = torch.zeros(1, 1, stored.card.features.n_mels, stored.card.model.patch_frames)
    return {
        "parameters": float(sum(parameter.numel() for parameter in stored.model.parameters())),
        "latency_ms": _latency_ms(stored.model, patch),
    }


@torch.inference_mode()
def _latency_ms(model: nn.Module, patch: torch.Tensor) -> float:
    def passed_s() -> float:
        start = time.perf_counter()
        model(patch)
        return time.perf_counter() - start

    with torch_threads(1):
        passed_s()  # the first one also plans
        return 1000 * statistics.median(passed_s() for _ in range(TIMED_PASSES))


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch compute in so many threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
