"""Validates a network after an epoch."""

from collections.abc import Sequence

import torch
from torch import nn

from core.config.models import is_single_label
from core.ml.evaluation.arrays import argmax_decisions
from core.ml.evaluation.metrics import evaluate
from core.ml.evaluation.thresholds import DEFAULT_THRESHOLD
from core.ml.training.context import Tracks, TrainingContext
from core.ml.training.losses import Loss
from core.ml.training.prediction import predict
from core.ml.training.processes import world_size
from core.states import Activity

MIN_PROBABILITY = 1e-7


def validate(
    model: nn.Module, tracks: Tracks, rows: Sequence[int], context: TrainingContext, loss_of: Loss
) -> tuple[float | None, dict[str, float]]:
    """Training loss of the tracks' mean probabilities, and metrics; None and empty without rows.

    Thresholds are chosen after the training: the metrics are those of the default one.
    """
    if not rows:
        return None, {}
    training = context.config.training

    def note(done: int) -> None:
        context.note(Activity.VALIDATING, done * world_size(), len(rows))

    scores = predict(model, tracks.inputs, rows, training.validation_patches, context.device, note)
    logits = torch.logit(torch.from_numpy(scores).clamp(MIN_PROBABILITY, 1 - MIN_PROBABILITY))
    targets = tracks.targets[list(rows)].double()
    loss = float(loss_of(logits.to(context.device), targets.to(context.device)))
    decisions = argmax_decisions(scores) if is_single_label(context.config.model) else None
    return loss, evaluate(targets.numpy(), scores, tracks.labels, DEFAULT_THRESHOLD, decisions).summary()
