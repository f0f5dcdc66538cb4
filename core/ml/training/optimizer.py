"""The optimizer and the learning-rate schedule."""

import math

from torch import nn
from torch.optim import SGD, AdamW, NAdam, Optimizer

from core.config.experiment import TrainingConfig

MOMENTUM = 0.9
INITIAL_FACTOR, FINAL_FACTOR = 0.04, 1e-4  # of the peak learning rate, for one_cycle


def make_optimizer(model: nn.Module, config: TrainingConfig) -> Optimizer:
    """Weight decay applies to matrices only, not to biases and normalisation."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.optimizer == "sgd":
        return SGD(groups, lr=config.lr, momentum=MOMENTUM, nesterov=True)
    if config.optimizer == "nadam":
        return NAdam(groups, lr=config.lr, decoupled_weight_decay=True)
    return AdamW(groups, lr=config.lr)


def learning_rate(config: TrainingConfig, step: int, steps: int) -> float:
    """The learning rate of step `step` (from 0) of `steps`."""
    if config.schedule == "constant":
        return config.lr
    done = (step + 1) / steps
    if done < config.warm_up:
        rising = done / config.warm_up
        if config.schedule == "cosine":
            return config.lr * rising
        return config.lr * _between(INITIAL_FACTOR, 1, rising)
    falling = (done - config.warm_up) / (1 - config.warm_up) if config.warm_up < 1 else 0.0
    return config.lr * _between(1, FINAL_FACTOR if config.schedule == "one_cycle" else 0, falling)


def _between(first: float, last: float, share: float) -> float:
    """Cosine interpolation from `first` to `last`."""
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
