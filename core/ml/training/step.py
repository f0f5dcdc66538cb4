"""One step of gradient descent."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from core.errors import TrainingDiverged
from core.ml.training.losses import smooth_positives
from core.ml.training.optimizer import learning_rate
from core.ml.training.processes import rank
from core.ml.training.state import Fit


def take_step(fit: Fit, trained: nn.Module, inputs: Tensor, targets: Tensor) -> float:
    """Update the weights on a batch of inputs (B, ...) and targets (B, L); returns the loss.

    Raises TrainingDiverged if the loss or the gradient is not finite.
    """
    training, device = fit.context.config.training, fit.context.device
    _seed(fit)
    inputs, targets = inputs.to(device, non_blocking=True), targets.to(device, non_blocking=True)
    inputs, targets = _vary(fit, inputs, targets)
    rate = learning_rate(training, fit.steps_done, training.epochs * fit.sampler.steps)
    for group in fit.optimizer.param_groups:
        group["lr"] = rate
    with mixed_precision(training.mixed_precision, device):
        logits, _ = trained(inputs)
    loss = fit.loss(logits.float(), targets)
    fit.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(fit.model.parameters(), training.clip_norm)
    values: list[float] = torch.stack((loss.detach(), norm)).tolist()  # one transfer per step
    value, length = values
    _check_finite("loss", value, fit, rate)
    _check_finite("gradient norm", length, fit, rate)
    fit.optimizer.step()
    fit.average.update(fit.model, fit.steps_done)
    return value


def _seed(fit: Fit) -> None:
    """Derive the random numbers of a step from its position and rank, so checkpoints need no random state."""
    position = (fit.sampler.seed, fit.progress.epoch, fit.progress.step, rank())
    augmentation, dropout = np.random.SeedSequence(position).generate_state(2, np.uint64)
    fit.augmentation.generator.manual_seed(int(augmentation))
    torch.manual_seed(int(dropout))


def _check_finite(what: str, value: float, fit: Fit, rate: float) -> None:
    if not math.isfinite(value):
        raise TrainingDiverged(
            f"The {what} is {value} in epoch {fit.steps_done // fit.sampler.steps + 1}, "
            f"step {fit.steps_done % fit.sampler.steps + 1}: lower the learning rate (now {rate:g})."
        )


def mixed_precision(wanted: bool, device: torch.device) -> torch.autocast:
    """Autocast to bfloat16 on GPUs that support it; unlike float16 it needs no loss scaling."""
    available = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted and available)


def _vary(fit: Fit, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The batch after label smoothing, augmentation and mixup."""
    config = fit.context.config
    if config.training.label_smoothing:
        targets = smooth_positives(targets, config.training.label_smoothing)
    if not fit.tracks.inputs.are_patches:
        return inputs, targets
    inputs = fit.augmentation(inputs)
    if config.augmentation.mixup_alpha:
        inputs, _, targets = fit.augmentation.mixup(inputs, targets)
    return inputs.contiguous(memory_format=torch.channels_last), targets
