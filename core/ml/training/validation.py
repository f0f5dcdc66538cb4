"""How good a network is after an epoch."""

from collections.abc import Sequence

import torch
from torch import nn

from core.config.models import is_single_label
from core.ml.evaluation.arrays import argmax_decisions
from core.ml.evaluation.metrics import evaluate
from core.ml.training.losses import Loss
from core.ml.training.prediction import predict
from core.ml.training.processes import world_size
from core.ml.training.run import Run, Tracks
from core.states import Activity

LOWEST = 1e-7
DECISION = 0.5  # thresholds are chosen when the training is over


def validate(
    model: nn.Module, tracks: Tracks, rows: Sequence[int], run: Run, loss_of: Loss
) -> tuple[float | None, dict[str, float]]:
    """Loss of the tracks' mean probabilities, the one that is trained, and metrics; none without rows."""
    if not rows:
        return None, {}
    training = run.config.training

    def note(done: int) -> None:
        run.note(Activity.VALIDATING, done * world_size(), len(rows))

    scores = predict(model, tracks.inputs, rows, training.validation_patches, run.device, note)
    logits = torch.logit(torch.from_numpy(scores).clamp(LOWEST, 1 - LOWEST))
    targets = tracks.targets[list(rows)].double()
    loss = float(loss_of(logits.to(run.device), targets.to(run.device)))
    decisions = argmax_decisions(scores) if is_single_label(run.config.model) else None
    return loss, evaluate(targets.numpy(), scores, tracks.labels, DECISION, decisions).summary()
