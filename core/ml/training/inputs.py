"""Model inputs read from the cached tracks.

Shapes: B batch, P patches of a track, F mel bands, N frames, D embedding size.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from core.ml.inference.patches import fill_by_repeating
from core.ml.training.store_limit import mark_used

KEEP_EVERY_S = 3600.0
Positions = npt.NDArray[np.float64]


class Inputs(Protocol):
    """Tracks by their index."""

    @property
    def are_patches(self) -> bool:
        """Whether inputs are log-mel patches, which can be augmented."""

    def batch(self, tracks: Sequence[int], positions: Positions) -> Tensor:
        """One input per track (B, ...), cut at its relative position in [0, 1)."""

    def whole(self, track: int, limit: int | None) -> Tensor:
        """All inputs of a track (P, ...), or `limit` evenly spaced ones."""

    def keep(self) -> None:
        """To be called now and then: files that are read from stay in the store."""


class PatchInputs:
    """Log-mel patches (1, F, patch_frames), read from memory-mapped frames."""

    are_patches = True

    def __init__(self, files: Sequence[Path], patch_frames: int) -> None:
        self._files = files
        self._patch_frames = patch_frames
        self._kept_at = time.monotonic()

    def batch(self, tracks: Sequence[int], positions: Positions) -> Tensor:
        return torch.stack([self._cut(*at) for at in zip(tracks, positions, strict=True)])

    def whole(self, track: int, limit: int | None) -> Tensor:
        frames = self._frames(track)
        starts = range(0, len(frames) - self._patch_frames + 1, self._patch_frames)
        if not starts:
            return self._patch(frames, 0)[None]
        wanted: Sequence[int] = starts
        if limit is not None and limit < len(starts):
            wanted = [starts[(2 * index + 1) * len(starts) // (2 * limit)] for index in range(limit)]
        return torch.stack([self._patch(frames, start) for start in wanted])

    def keep(self) -> None:
        if time.monotonic() - self._kept_at >= KEEP_EVERY_S:
            for file in self._files:
                mark_used(file)
            self._kept_at = time.monotonic()

    def _cut(self, track: int, position: float) -> Tensor:
        frames = self._frames(track)
        return self._patch(frames, int(position * max(1, len(frames) - self._patch_frames + 1)))

    def _frames(self, track: int) -> npt.NDArray[np.float16]:
        frames: npt.NDArray[np.float16] = np.load(self._files[track], mmap_mode="r", allow_pickle=False)  # noqa: TID251
        return frames

    def _patch(self, frames: npt.NDArray[np.float16], start: int) -> Tensor:
        """A patch (1, F, patch_frames); a shorter track is repeated, as in serving."""
        patch = torch.from_numpy(frames[start : start + self._patch_frames].astype(np.float32).T)
        return fill_by_repeating(patch, self._patch_frames)[None]


class VectorInputs:
    """One vector (D,) per track, all in memory."""

    are_patches = False

    def __init__(self, vectors: Tensor) -> None:
        self._vectors = vectors

    def batch(self, tracks: Sequence[int], positions: Positions) -> Tensor:  # noqa: ARG002
        return self._vectors[list(tracks)]

    def whole(self, track: int, limit: int | None) -> Tensor:  # noqa: ARG002
        return self._vectors[track : track + 1]

    def keep(self) -> None:
        """Vectors are in memory."""
