"""Every kind of model and how to build it; adding a model is one file, one config class and one line here."""

from collections.abc import Callable
from typing import Any

from torch import nn

from core.config import FeatureConfig, ModelConfig
from core.models.musicnn import Musicnn

BUILDERS: dict[str, Callable[[Any, FeatureConfig, int], nn.Module]] = {
    "musicnn": Musicnn,
}


def build(config: ModelConfig, features: FeatureConfig, num_labels: int) -> nn.Module:
    """A model with fresh weights: log-mel patches (B, 1, F, N) -> logits (B, L) and embedding (B, D)."""
    return BUILDERS[config.kind](config, features, num_labels)
