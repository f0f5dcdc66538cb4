import numpy as np
import pytest
import torch

from core.config.models import FeatureConfig
from core.ml.audio.features import LogMel
from core.ml.inference.patches import Patcher, RunningMean, WindowPatcher, patch_samples

FEATURES = FeatureConfig()
LOG_MEL = LogMel(FEATURES)
PATCH = 187


def noise(samples: int) -> torch.Tensor:
    return torch.rand(samples, generator=torch.Generator().manual_seed(samples)) - 0.5


@pytest.mark.parametrize("block", [1_000, 16_000, 160_000])
def test_patches_are_the_consecutive_frames_of_the_whole_track(block):
    track = noise(10 * 16_000)
    patcher = Patcher(LOG_MEL, PATCH)
    patches = [patch for samples in torch.split(track, block) for patch in patcher.push(samples)]
    patches += patcher.finish()
    whole = LOG_MEL(track[None])[0, 0]
    assert len(patches) == whole.shape[1] // PATCH == 3
    torch.testing.assert_close(torch.cat(patches, dim=1), whole[:, : 3 * PATCH], rtol=0, atol=1e-6)


def test_a_track_of_less_than_a_patch_is_repeated():
    track = noise(16_000)
    patcher = Patcher(LOG_MEL, PATCH)
    (patch,) = patcher.push(track) + patcher.finish()
    frames = LOG_MEL(track[None])[0, 0]
    torch.testing.assert_close(patch, frames.repeat(1, 3)[:, :PATCH], rtol=0, atol=1e-6)


def test_a_window_gives_its_inner_frames():
    track = noise(5 * 16_000)
    window = track[16_384 : 16_384 + patch_samples(FEATURES, PATCH)]
    patcher = WindowPatcher(LOG_MEL, PATCH)
    (patch,) = patcher.push(window) + patcher.finish()
    first_frame = (16_384 + 256) // 256
    whole = LOG_MEL(track[None])[0, 0]
    torch.testing.assert_close(patch, whole[:, first_frame : first_frame + PATCH], rtol=0, atol=1e-6)


def test_a_window_of_a_short_track_is_repeated():
    (patch,) = WindowPatcher(LOG_MEL, PATCH).push(noise(20_000))
    frames = LOG_MEL(noise(20_000)[None])[0, 0]
    torch.testing.assert_close(patch, frames.repeat(1, 3)[:, :PATCH])


def test_the_mean_is_over_probabilities():
    mean = RunningMean()
    mean.add(np.array([0.1, 0.9], np.float32), np.array([1, 2, 3], np.float32))
    mean.add(np.array([0.3, 0.5], np.float32), np.array([3, 2, 1], np.float32))
    scores, embedding = mean.result()
    np.testing.assert_allclose(scores, [0.2, 0.7], rtol=1e-6)
    np.testing.assert_allclose(embedding, [2, 2, 2])
    assert scores.dtype == embedding.dtype == np.float32
