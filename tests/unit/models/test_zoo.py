import typing

import pytest
import torch

from core.config import FeatureConfig, MusicnnConfig
from core.models.zoo import BUILDERS, build

SMALL = {"musicnn": MusicnnConfig(timbral_filters=2, temporal_filters=2, mid_channels=3, embedding_size=5)}


def test_every_kind_has_a_builder():
    kinds = {typing.get_args(config.model_fields["kind"].annotation)[0] for config in (MusicnnConfig,)}
    assert set(BUILDERS) == kinds == set(SMALL)


@pytest.mark.parametrize("kind", sorted(BUILDERS))
def test_every_model_gives_logits_and_an_embedding(kind):
    config = SMALL[kind]
    model = build(config, FeatureConfig(n_mels=24), num_labels=7).eval().requires_grad_(False)
    logits, embedding = model(torch.rand(3, 1, 24, config.patch_frames))
    assert logits.shape == (3, 7)
    assert embedding.shape == (3, config.embedding_size)
    assert logits.dtype == embedding.dtype == torch.float32
    assert (logits.min() < 0) or (logits.max() > 1)
