"""Cuts tracks into patches, and averages the predictions of a track's patches."""

import numpy as np
import torch
from torch import Tensor

from core.config.models import FeatureConfig
from core.ml.audio.features import LogMel, LogMelStream


class Patcher:
    """Cuts the waveform of one track into log-mel patches (F, patch_frames), without gap or overlap."""

    def __init__(self, log_mel: LogMel, patch_frames: int) -> None:
        self._stream = LogMelStream(log_mel)
        self._patch_frames = patch_frames
        self._frames: Tensor | None = None
        self._made_any = False

    def push(self, samples: Tensor) -> list[Tensor]:
        """The patches that these samples (T,) complete."""
        return self._cut(self._stream.push(samples))

    def finish(self) -> list[Tensor]:
        """The last patches. Remaining frames are dropped; a track shorter than one patch is repeated."""
        patches = self._cut(self._stream.finish())
        if self._made_any or self._frames is None or self._frames.shape[1] == 0:
            return patches
        return [fill_by_repeating(self._frames, self._patch_frames)]

    def _cut(self, frames: Tensor) -> list[Tensor]:
        if self._frames is not None:
            frames = torch.cat((self._frames, frames), dim=1)
        whole = frames.shape[1] // self._patch_frames
        self._made_any |= whole > 0
        self._frames = frames[:, whole * self._patch_frames :].clone()
        starts = range(0, whole * self._patch_frames, self._patch_frames)
        return [frames[:, start : start + self._patch_frames] for start in starts]


class WindowPatcher:
    """Cuts separate windows of one track into one patch (F, patch_frames) each."""

    def __init__(self, log_mel: LogMel, patch_frames: int) -> None:
        self._log_mel = log_mel
        self._patch_frames = patch_frames
        self._samples = patch_samples(log_mel.config, patch_frames)

    def push(self, samples: Tensor) -> list[Tensor]:
        """The patch of one window (T,). A window of a track shorter than a patch is repeated."""
        if len(samples) >= self._samples:
            return [self._log_mel.inner_frames(samples[None, : self._samples])[0, 0]]
        return [fill_by_repeating(self._log_mel(samples[None])[0, 0], self._patch_frames)]

    def finish(self) -> list[Tensor]:
        return []


def patch_samples(features: FeatureConfig, patch_frames: int) -> int:
    """Number of samples that the frames of one patch cover."""
    return features.n_fft + (patch_frames - 1) * features.hop_length


def fill_by_repeating(frames: Tensor, length: int) -> Tensor:
    """Frames (F, N) repeated and cut to (F, length)."""
    return frames.repeat(1, -(-length // frames.shape[1]))[:, :length]


class RunningMean:
    """Running mean of label probabilities (L,) and embeddings (D,) over patches."""

    def __init__(self) -> None:
        self._count = 0
        self._scores = self._embedding = np.zeros(1)

    def add(self, scores: np.ndarray, embedding: np.ndarray, count: int = 1) -> None:
        self._scores = self._scores + np.float64(count) * scores
        self._embedding = self._embedding + np.float64(count) * embedding
        self._count += count

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Scores (L,) and embedding (D,), float32."""
        return (self._scores / self._count).astype(np.float32), (self._embedding / self._count).astype(
            np.float32
        )
