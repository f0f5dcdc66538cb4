import typing

import pytest
import torch
from torch import nn

from core.config.models import (
    AudioCNNConfig,
    CRNNConfig,
    EnsembleConfig,
    FeatureConfig,
    ModelConfig,
    MultiLabelAudioCNNConfig,
    MusicnnConfig,
    RandomForestConfig,
    TransferConfig,
)
from core.ml.models import artifact
from core.ml.models.artifact import ModelCard
from core.ml.models.exclusive import softmax_logits
from core.ml.models.zoo import BUILDERS, build

FEATURES = FeatureConfig(n_mels=24)
MUSICNN = MusicnnConfig(timbral_filters=2, temporal_filters=2, mid_channels=3, embedding_size=5)
CNN = AudioCNNConfig(patch_frames=32, base_channels=2, embedding_size=6)
SMALL: dict[str, ModelConfig] = {
    "musicnn": MUSICNN,
    "audio_cnn": CNN,
    "multilabel_audio_cnn": MultiLabelAudioCNNConfig(patch_frames=32, base_channels=4, embedding_size=7),
    "multilabel_audio_cnn, plain": MultiLabelAudioCNNConfig(
        patch_frames=32, base_channels=4, use_attention=False, head="linear"
    ),
    "crnn": CRNNConfig(patch_frames=32, base_channels=2, hidden_size=3, embedding_size=6),
    "transfer": TransferConfig(network=MUSICNN, network_labels=3),
    "transfer, mlp": TransferConfig(network=CNN, network_labels=3, head="mlp", hidden_size=32),
    "random_forest": RandomForestConfig(patch_frames=32, bands=4, trees=3, max_leaves=4),
    "ensemble": EnsembleConfig(members=("a", "b"), networks=(CNN, CNN)),
}
# musicnn is computed in a way that has no gradient, and trees have none at all.
TRAINABLE = sorted(SMALL.keys() - {"musicnn", "random_forest"})


def make(name: str, labels: int = 7) -> nn.Module:
    torch.manual_seed(0)
    return build(SMALL[name], FEATURES, labels)


def patches(name: str, count: int = 3) -> torch.Tensor:
    return torch.rand(count, 1, 24, SMALL[name].patch_frames, generator=torch.Generator().manual_seed(1))


def test_every_kind_has_a_builder_and_is_tested():
    union = typing.get_args(typing.get_args(ModelConfig)[0])
    kinds = {typing.get_args(config.model_fields["kind"].annotation)[0] for config in union}
    assert set(BUILDERS) == kinds == {config.kind for config in SMALL.values()}


@pytest.mark.parametrize("name", SMALL)
def test_it_gives_logits_and_an_embedding(name):
    logits, embedding = make(name).eval().requires_grad_(False)(patches(name))
    assert logits.shape == (3, 7)
    assert embedding.shape == (3, SMALL[name].embedding_size)
    assert logits.dtype == embedding.dtype == torch.float32


@pytest.mark.parametrize("single", [True, False, "auto"])
@pytest.mark.parametrize("name", sorted(SMALL.keys() - {"musicnn", "random_forest", "ensemble"}))
def test_labels_that_exclude_each_other_share_one_probability(name, single):
    config = SMALL[name].model_copy(update={"single_label": single})
    model = build(config, FEATURES, 7).eval().requires_grad_(False)
    sums = model(patches(name))[0].double().sigmoid().sum(1)
    assert torch.allclose(sums, torch.ones(3).double(), atol=1e-5) == (single is True)


def test_a_certain_label_has_a_finite_logit():
    certain = softmax_logits(torch.tensor([[60.0, 0.0, -60.0]]))
    assert certain.isfinite().all()
    assert certain.sigmoid().argmax() == 0


@pytest.mark.parametrize("name", SMALL)
def test_it_gives_logits_and_not_probabilities(name):
    model = make(name).eval().requires_grad_(False)
    logits, _ = model(50 * patches(name))
    if name not in ("random_forest", "ensemble", "transfer"):  # untrained, these say 0.5 or hardly more
        assert logits.min() < 0 or logits.max() > 1


@pytest.mark.parametrize("name", SMALL)
def test_a_stored_one_gives_equal_logits(name, tmp_path):
    model = make(name).eval().requires_grad_(False)
    card = ModelCard(
        name="m",
        version=1,
        embedding="m-1/penultimate",
        model=SMALL[name],
        features=FEATURES,
        labels=tuple("abcdefg"),
        thresholds=(0.5,) * 7,
    )
    artifact.save(card, model, tmp_path / "m-1")
    loaded = artifact.load(tmp_path / "m-1")
    for ours, theirs in zip(model(patches(name)), loaded.model(patches(name)), strict=True):
        assert torch.equal(ours, theirs)
    assert loaded.card.model == SMALL[name]


@pytest.mark.parametrize("name", TRAINABLE)
def test_a_gradient_reaches_every_parameter_that_is_trained(name):
    model = make(name).train()
    logits, _ = model(patches(name, 8))
    (logits * torch.randn(8, 7, generator=torch.Generator().manual_seed(2))).sum().backward()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert trained
    without = [key for key, p in trained.items() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


@pytest.mark.parametrize("name", SMALL)
def test_the_embedding_does_not_depend_on_the_number_of_labels(name):
    widths = {
        make(name, labels).eval().requires_grad_(False)(patches(name))[1].shape[1] for labels in (2, 200)
    }
    assert widths == {SMALL[name].embedding_size}


@pytest.mark.parametrize("name", SMALL)
def test_a_track_is_answered_alike_alone_and_in_a_batch(name):
    model = make(name).eval().requires_grad_(False)
    together, alone = model(patches(name))[0], model(patches(name)[1:2])[0]
    assert torch.allclose(together[1:2], alone, atol=1e-5)


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("config", "counts"),
    [
        (MultiLabelAudioCNNConfig(), {8: 3_210_642, 50: 3_384_060, 100: 3_590_510}),
        (MultiLabelAudioCNNConfig(use_attention=False), {8: 3_163_338, 50: 3_336_756, 100: 3_543_206}),
        (MultiLabelAudioCNNConfig(head="linear"), {8: 3_179_666, 50: 3_190_460, 100: 3_203_310}),
        (AudioCNNConfig(), {8: 422_248}),
        (CRNNConfig(), {8: 851_432, 50: 862_226}),
        (MusicnnConfig(), {50: 787_159}),
        (RandomForestConfig(), {50: 0}),
        (TransferConfig(network=MusicnnConfig(), network_labels=50), {7: 787_159 + 7 * 201}),
    ],
)
def test_parameter_counts(config, counts):
    assert {labels: parameters(build(config, FeatureConfig(), labels)) for labels in counts} == counts


@pytest.mark.parametrize(("labels", "stated"), [(8, 3.2e6), (50, 3.5e6), (100, 3.6e6)])
def test_the_residual_network_has_its_stated_size_within_five_percent(labels, stated):
    count = parameters(build(MultiLabelAudioCNNConfig(), FeatureConfig(), labels))
    assert count == pytest.approx(stated, rel=0.05)


def test_the_residual_network_has_more_than_twenty_weighted_layers_on_its_main_path():
    model = build(MultiLabelAudioCNNConfig(use_attention=False), FeatureConfig(), 8)
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
    linears = [m for m in model.modules() if isinstance(m, nn.Linear)]
    assert len(convolutions) + len(linears) + 1 == 22  # and the second layer of the heads
