"""The builders of all kinds of models. A new model needs a file, a config class and a line here."""

from collections.abc import Callable
from typing import Any

from torch import nn

from core.config.models import EnsembleConfig, FeatureConfig, ModelConfig, TransferConfig
from core.ml.models import multilabel_audio_cnn
from core.ml.models.audio_cnn import AudioCNN
from core.ml.models.crnn import CRNN
from core.ml.models.ensemble import Ensemble
from core.ml.models.musicnn import Musicnn
from core.ml.models.random_forest import RandomForest
from core.ml.models.transfer import Transfer


def _transfer(config: TransferConfig, features: FeatureConfig, num_labels: int) -> Transfer:
    return Transfer(config, build(config.resolved, features, config.network_labels), num_labels)


def _ensemble(config: EnsembleConfig, features: FeatureConfig, num_labels: int) -> Ensemble:
    return Ensemble([build(network, features, num_labels) for network in config.networks])


BUILDERS: dict[str, Callable[[Any, FeatureConfig, int], nn.Module]] = {
    "musicnn": Musicnn,
    "audio_cnn": AudioCNN,
    "multilabel_audio_cnn": multilabel_audio_cnn.from_config,
    "crnn": CRNN,
    "transfer": _transfer,
    "random_forest": RandomForest,
    "ensemble": _ensemble,
}


def build(config: ModelConfig, features: FeatureConfig, num_labels: int) -> nn.Module:
    """A model with initial weights: log-mel patches (B, 1, F, N) -> logits (B, L) and embedding (B, D)."""
    return BUILDERS[config.kind](config, features, num_labels)
