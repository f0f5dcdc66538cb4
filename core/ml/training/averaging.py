"""Exponential moving average (EMA) of a model's weights."""

import copy

import torch
from torch import nn


class MovingAverage:
    """A copy of the model whose weights are the moving average; the decay is smaller in the first steps."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """`step` counts from 0. Running statistics are averaged too; integer counters are copied."""
        decay = min(self._decay, (1 + step) / (10 + step))
        current = model.state_dict()
        for name, tensor in self.model.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(current[name], 1 - decay)
            else:
                tensor.copy_(current[name])
