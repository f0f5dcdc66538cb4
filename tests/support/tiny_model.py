"""An untrained network whose random filters tell simple sounds apart."""

from pathlib import Path

import torch

from core.config.models import FeatureConfig, MusicnnConfig
from core.ml.models import artifact
from core.ml.models.artifact import ModelCard
from core.ml.models.zoo import build

EMBEDDING_SIZE = 16


def write_tiny(models_dir: Path) -> Path:
    """Write the model `tiny-1` into the folder of models; returns its own."""
    torch.manual_seed(0)
    network = MusicnnConfig(
        timbral_filters=4, temporal_filters=2, mid_channels=8, embedding_size=EMBEDDING_SIZE
    )
    features = FeatureConfig(n_mels=24)
    card = ModelCard(
        name="tiny",
        version=1,
        embedding="tiny-1/penultimate",
        model=network,
        features=features,
        labels=("a", "b"),
        thresholds=(0.5, 0.5),
        licence="free",
    )
    artifact.save(card, build(network, features, 2), models_dir / "tiny-1")
    return models_dir / "tiny-1"
