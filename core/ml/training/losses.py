"""Losses of logits; targets may be fractions, as produced by mixup.

Shapes: B batch, M tracks, L labels.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from core.config.experiment import AsymmetricLoss, FocalLoss, LossConfig

Loss = Callable[[Tensor, Tensor], Tensor]

MIN_PROBABILITY = 1e-8  # avoids log(0), and powers of 0 with an infinite gradient


def make_loss(config: LossConfig, class_weights: Tensor | None = None, *, exclusive: bool = False) -> Loss:
    """A function (logits (B, L), targets (B, L)) -> mean loss; class weights (L,) multiply positives.

    `exclusive`: the sigmoids of the logits are a softmax, whose cross-entropy replaces the binary one.
    """

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        if isinstance(config, FocalLoss):
            return focal(logits, targets, config.gamma, class_weights).mean()
        if isinstance(config, AsymmetricLoss):
            return asymmetric(logits, targets, config, class_weights).mean()
        if exclusive:
            return categorical(logits, targets, class_weights).mean()
        return binary_cross_entropy_with_logits(logits, targets, pos_weight=class_weights)

    return loss


def categorical(logits: Tensor, targets: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Cross-entropy (B,) of a softmax whose probabilities are the sigmoids of these logits."""
    weighted = targets if class_weights is None else targets * class_weights
    return -(weighted * logsigmoid(logits)).sum(1)


def focal(logits: Tensor, targets: Tensor, gamma: float, class_weights: Tensor | None = None) -> Tensor:
    """`|target - p| ** gamma` times the cross-entropy, per element (B, L)."""
    entropy = binary_cross_entropy_with_logits(logits, targets, pos_weight=class_weights, reduction="none")
    return (targets - logits.sigmoid()).abs().clamp(min=MIN_PROBABILITY).pow(gamma) * entropy


def asymmetric(
    logits: Tensor, targets: Tensor, config: AsymmetricLoss, class_weights: Tensor | None = None
) -> Tensor:
    """Per element (B, L); the probability of negatives is first reduced by the margin."""
    p = logits.sigmoid()
    positive = -((1 - p).clamp(min=MIN_PROBABILITY).pow(config.gamma_positive)) * logsigmoid(logits)
    if class_weights is not None:
        positive = positive * class_weights
    lowered = (p - config.margin).clamp(min=0)
    negative = -lowered.clamp(min=MIN_PROBABILITY).pow(config.gamma_negative) * torch.log(
        (1 - lowered).clamp(min=MIN_PROBABILITY)
    )
    return targets * positive + (1 - targets) * negative


def class_weights(targets: Tensor, most: float) -> Tensor:
    """Negatives per positive of each label, between 1 and `most`: (M, L) -> (L,)."""
    positives = targets.sum(0)
    return ((len(targets) - positives) / positives.clamp(min=1)).clamp(1, most)


def smooth_positives(targets: Tensor, amount: float) -> Tensor:
    """Positive targets become `1 - amount`; the far more numerous negatives stay 0."""
    return targets * (1 - amount)
