import torch

from core.config.models import FeatureConfig, MusicnnConfig
from core.ml.models import artifact
from core.ml.models.musicnn import Musicnn
from tests.benchmarks.plain_musicnn import plain_forward


def patches(count: int) -> torch.Tensor:
    """Values in the range of log-mel features."""
    return 4 * torch.rand((count, 1, 96, 187), generator=torch.Generator().manual_seed(1))


def test_the_published_model_equals_its_plain_form(default_model):
    model = artifact.load(default_model).model
    with torch.inference_mode():
        logits, embedding = model(patches(3))
        plain_logits, plain_embedding = plain_forward(patches(3), model.state_dict())
    assert logits.shape == (3, 50)
    assert embedding.shape == (3, 200)
    torch.testing.assert_close(logits.sigmoid(), plain_logits.sigmoid(), rtol=0, atol=1e-5)
    torch.testing.assert_close(embedding, plain_embedding, rtol=0, atol=1e-4)


def test_the_published_model_has_its_published_size(default_model):
    model = artifact.load(default_model).model
    assert sum(parameter.numel() for parameter in model.parameters()) == 787_159


def test_filters_that_normalisation_inverts_keep_their_smallest_product():
    torch.manual_seed(0)
    config = MusicnnConfig(timbral_filters=4, temporal_filters=4, mid_channels=3, embedding_size=5)
    model = Musicnn(config, FeatureConfig(), num_labels=2).eval().requires_grad_(False)
    for layer in (*model.timbral, *model.temporal):
        layer.norm.weight[::2] = -1.5
    logits, embedding = model(patches(2))
    plain_logits, plain_embedding = plain_forward(patches(2), model.state_dict())
    torch.testing.assert_close(logits, plain_logits, rtol=0, atol=1e-5)
    torch.testing.assert_close(embedding, plain_embedding, rtol=0, atol=1e-5)


def test_a_patch_gives_the_same_alone_and_in_a_batch(default_model):
    model = artifact.load(default_model).model
    with torch.inference_mode():
        together, _ = model(patches(5))
        alone = torch.cat([model(patch.unsqueeze(0))[0] for patch in patches(5)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)
