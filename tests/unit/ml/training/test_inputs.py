import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.config.models import FeatureConfig
from core.ml.audio.features import LogMel
from core.ml.inference.patches import Patcher
from core.ml.training.feature_cache import Cached, cache_log_mels
from core.ml.training.inputs import PatchInputs, VectorInputs
from core.ml.training.prediction import BATCH_SIZE, predict
from tests.support.sounds import noise, write


def stored(folder: Path, *lengths: int) -> PatchInputs:
    """Tracks whose frames are numbered; a patch is 4 frames long."""
    files = []
    for number, length in enumerate(lengths):
        frames = np.repeat(np.arange(length, dtype=np.float16)[:, None], 3, axis=1)
        files.append(folder / f"{number}.npy")
        np.save(files[-1], frames)
    return PatchInputs(files, 4)


def first_frames(patches: Tensor) -> list[float]:
    return patches[:, 0, 0, 0].tolist()


def test_crops_lie_where_their_positions_say(tmp_path):
    inputs = stored(tmp_path, 10)
    batch = inputs.batch([0, 0, 0], np.array([0.0, 0.5, 0.999]))
    assert batch.shape == (3, 1, 3, 4)
    assert batch.dtype == torch.float32
    assert first_frames(batch) == [0, 3, 6]
    assert batch[1, 0, 2].tolist() == [3, 4, 5, 6]


def test_a_whole_track_is_cut_without_gap_or_overlap(tmp_path):
    assert first_frames(stored(tmp_path, 18).whole(0, None)) == [0, 4, 8, 12]


def test_frames_that_a_training_reads_are_marked_as_used_at_most_hourly(tmp_path, monkeypatch):
    inputs, file = stored(tmp_path, 10), tmp_path / "0.npy"
    os.utime(file, (0, 0))
    inputs.keep()
    assert file.stat().st_mtime == 0
    an_hour_later = time.monotonic() + 3601
    monkeypatch.setattr(time, "monotonic", lambda: an_hour_later)
    inputs.keep()
    assert time.time() - file.stat().st_mtime < 60
    os.utime(file, (0, 0))
    inputs.keep()
    assert file.stat().st_mtime == 0


def test_a_limit_spreads_patches_over_the_track(tmp_path):
    inputs = stored(tmp_path, 40)
    assert first_frames(inputs.whole(0, 2)) == [8, 28]
    assert first_frames(inputs.whole(0, 1)) == [20]
    assert len(inputs.whole(0, 100)) == 10


def test_a_short_track_is_repeated(tmp_path):
    inputs = stored(tmp_path, 3)
    for patch in (inputs.whole(0, None)[0], inputs.batch([0], np.array([0.9]))[0]):
        assert patch[0, 0].tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize("duration_s", [1.0, 2.5, 7.0])
def test_patches_are_those_that_serving_cuts(tmp_path, duration_s):
    features = FeatureConfig(n_mels=24)
    samples = noise(duration_s)
    (cached,) = cache_log_mels([write(tmp_path / "a.wav", samples)], features, tmp_path / "cache")
    assert isinstance(cached, Cached)
    patcher = Patcher(LogMel(features), 100)
    serving = torch.stack([*patcher.push(torch.from_numpy(samples)), *patcher.finish()])
    ours = PatchInputs([cached.file], 100).whole(0, None)[:, 0]
    assert ours.shape == serving.shape
    assert torch.allclose(ours, serving, atol=2e-3)


class MeanAsLogit(nn.Module):
    """The mean of each patch is the logit of its only label."""

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        mean = patches.flatten(1).mean(1, keepdim=True)
        return mean, mean


def test_scores_are_means_of_probabilities_and_not_of_logits(tmp_path):
    inputs = stored(tmp_path, 8, 4)
    scores = predict(MeanAsLogit(), inputs, [1, 0], None, torch.device("cpu"))
    of_first, of_second = torch.tensor([1.5, 5.5]).sigmoid().tolist()
    assert scores.ravel().tolist() == pytest.approx([of_first, (of_first + of_second) / 2])


def test_batches_across_tracks_do_not_change_scores(tmp_path, monkeypatch):
    inputs = stored(tmp_path, 8, 4, 40, 12, 3, 24)
    expected = predict(MeanAsLogit(), inputs, range(6), None, torch.device("cpu"))
    monkeypatch.setitem(BATCH_SIZE, "cpu", 3)
    assert np.allclose(predict(MeanAsLogit(), inputs, range(6), None, torch.device("cpu")), expected)


def test_vectors_are_given_as_they_are():
    inputs = VectorInputs(torch.arange(6.0).view(3, 2))
    assert inputs.batch([2, 0], np.zeros(2)).tolist() == [[4.0, 5.0], [0.0, 1.0]]
    assert inputs.whole(1, None).tolist() == [[2.0, 3.0]]
