import numpy as np
import pytest
import torch

from core.config.models import AudioCNNConfig, EnsembleConfig, FeatureConfig, TransferConfig, is_single_label
from core.ml.models.ensemble import Ensemble
from core.ml.models.transfer import Head, Transfer
from core.ml.models.zoo import build

FEATURES = FeatureConfig(n_mels=16)
CNN = AudioCNNConfig(patch_frames=16, base_channels=2, embedding_size=4)


def test_the_head_standardises_what_it_has_seen():
    head = Head(TransferConfig(network=CNN), 2)
    head.standardise(torch.tensor([[0.0, 1.0, 5.0, 0.0], [2.0, 5.0, 5.0, 0.0]]))
    assert head.mean.tolist() == [1.0, 3.0, 5.0, 0.0]
    assert head.scale.tolist() == pytest.approx([1.0, 2.0, 0.075, 0.075])  # a tenth of the mean, at least


def test_equal_embeddings_are_not_divided_by_nothing():
    head = Head(TransferConfig(network=CNN), 2)
    head.standardise(torch.ones(3, 4))
    assert head(torch.ones(2, 4))[0].isfinite().all()


def test_a_linear_head_begins_without_an_opinion():
    head = Head(TransferConfig(network=CNN), 2)
    assert head(torch.randn(3, 4))[0].tolist() == [[0.0, 0.0]] * 3


def test_the_backbone_stays_as_it_is_while_the_head_trains():
    model = build(TransferConfig(network=CNN), FEATURES, 2)
    assert isinstance(model, Transfer)
    model.train()
    assert model.head.training
    assert not model.backbone.training
    assert not any(parameter.requires_grad for parameter in model.backbone.parameters())
    before = {name: tensor.clone() for name, tensor in model.backbone.state_dict().items()}
    model(torch.rand(4, 1, 16, 16))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.backbone.state_dict().items())


def test_scores_of_an_embedding_are_those_of_the_head():
    model = build(TransferConfig(network=CNN, head="mlp"), FEATURES, 2).eval()
    assert isinstance(model, Transfer)
    embedding = np.arange(4, dtype=np.float32)
    expected = model.head(torch.from_numpy(embedding))[0].sigmoid().detach().numpy()
    assert model.scores(embedding).tolist() == expected.tolist()
    assert model.scores(np.stack([embedding, embedding])).shape == (2, 2)


def test_an_ensemble_averages_probabilities_and_joins_embeddings():
    config = EnsembleConfig(members=("a", "b"), networks=(CNN, CNN))
    model = build(config, FEATURES, 2).eval()
    assert isinstance(model, Ensemble)
    patches = torch.rand(3, 1, 16, 16)
    (first, one), (second, other) = (member(patches) for member in model.members)
    logits, embedding = model(patches)
    assert torch.allclose(logits.sigmoid(), (first.sigmoid() + second.sigmoid()) / 2)
    assert torch.equal(embedding, torch.cat((one, other), dim=1))
    assert config.embedding_size == 8


def test_heads_of_earlier_versions_are_read_as_they_were():
    """Their cards say which head it is, and nothing of exclusive labels; their weights have these names."""
    stored = {
        "kind": "transfer",
        "network": CNN.model_dump(),
        "head": "linear",
        "hidden_size": 64,
        "dropout": 0.2,
    }
    config = TransferConfig.model_validate(stored)
    assert not is_single_label(config)
    head = Head(config, 2)
    assert set(head.state_dict()) == {"mean", "scale", "layers.1.weight", "layers.1.bias"}
    assert head(torch.zeros(1, 4))[0].sigmoid().tolist() == [[0.5, 0.5]]
