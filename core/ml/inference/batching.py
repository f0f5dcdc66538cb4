"""Batches patches across tracks and returns the predictions to their tracks."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from core.ml.audio.waveform import Waveform
from core.ml.inference.patches import RunningMean
from core.ml.inference.timings import StageTimings

K = TypeVar("K")

# Successive log-mel patches that differ by at most this anywhere, such as silence, are predicted once.
DUPLICATE_TOLERANCE = 1e-3


class PatchExtractor(Protocol):
    """Turns the samples (T,) of one track into log-mel patches (F, N)."""

    def push(self, samples: Tensor) -> list[Tensor]: ...

    def finish(self) -> list[Tensor]: ...


@dataclass(eq=False)
class UniquePatch:
    """A patch (F, N) and the number of its successive duplicates, which share its prediction."""

    patch: Tensor
    count: int = 1  # duplicates, including this one
    prediction: tuple[np.ndarray, np.ndarray] | None = None  # scores (L,) and embedding (D,)

    def is_duplicate(self, patch: Tensor) -> bool:
        tolerance = DUPLICATE_TOLERANCE
        return patch.shape == self.patch.shape and torch.allclose(patch, self.patch, rtol=0, atol=tolerance)


@dataclass(eq=False)
class PendingTrack(Generic[K]):
    """A track whose analysis is in progress."""

    key: K
    patches: PatchExtractor
    mean: RunningMean = field(default_factory=RunningMean)
    last: UniquePatch | None = None
    queued: int = 0  # unique patches without a prediction
    duration_s: float | None = None  # None until the track is decoded to its end
    warnings: tuple[str, ...] = ()  # likewise
    waveform: Waveform | None = None  # of a track that is decoded as a whole

    @property
    def complete(self) -> bool:
        return self.duration_s is not None and self.queued == 0


Queue = list[tuple[PendingTrack[K], UniquePatch]]


class Batcher(Generic[K]):
    """Collects patches into batches. Each track is returned once, by the call that completes it.

    With `deterministic_batches`, a batch holds patches of one track only, and only its last batch is smaller.
    Predictions depend on the batch size in their last bit, so they then depend on nothing but the track.
    Not thread-safe.
    """

    def __init__(
        self,
        model: nn.Module,
        device: torch.device,
        size: int,
        timings: StageTimings,
        *,
        deterministic_batches: bool = False,
    ) -> None:
        self._model = model
        self._device = device
        self._size = size
        self._timings = timings
        self._deterministic = deterministic_batches
        self._queues: dict[PendingTrack[K] | None, Queue[K]] = defaultdict(list)

    def push(self, track: PendingTrack[K], samples: np.ndarray) -> list[PendingTrack[K]]:
        """Add the next samples (T,) of a track; returns the tracks that this completes."""
        with self._timings.measure("mel_s"):
            patches = track.patches.push(torch.from_numpy(samples).to(self._device))
        return self._enqueue(track, patches)

    def end(self, track: PendingTrack[K], duration_s: float) -> list[PendingTrack[K]]:
        """Mark the end of a track; returns the tracks that this completes."""
        with self._timings.measure("mel_s"):
            patches = track.patches.finish()
        track.duration_s = duration_s
        return self._enqueue(track, patches) or ([track] if track.complete else [])

    def drop(self, track: PendingTrack[K]) -> None:
        """Discard the queued patches of a failed track."""
        for queue in self._queues.values():
            queue[:] = [(owner, patch) for owner, patch in queue if owner is not track]
        self._queues.pop(track, None)

    def delays_a_track(self) -> bool:
        """Whether a track that is decoded to its end is waiting for a batch to fill."""
        return any(track.duration_s is not None for track, _ in self._queues[None])

    def run(self) -> list[PendingTrack[K]]:
        """Predict up to one batch of queued patches; returns the tracks that this completes."""
        return self._predict(self._queues[None])

    def _predict(self, queue: Queue[K]) -> list[PendingTrack[K]]:
        batch = queue[: self._size]
        del queue[: self._size]
        with self._timings.measure("cnn_s"), torch.inference_mode():
            logits, embeddings = self._model(torch.stack([unique.patch for _, unique in batch]).unsqueeze(1))
            scores = logits.float().sigmoid().cpu().numpy()
            vectors = embeddings.float().cpu().numpy()
        completed = []
        for (track, unique), score, vector in zip(batch, scores, vectors, strict=True):
            track.mean.add(score, vector, unique.count)
            unique.prediction = score, vector
            track.queued -= 1
            if track.complete:
                completed.append(track)
        return completed

    def _enqueue(self, track: PendingTrack[K], patches: list[Tensor]) -> list[PendingTrack[K]]:
        queue = self._queues[track if self._deterministic else None]
        unique = _without_duplicates(track, patches)
        track.queued += len(unique)
        queue += [(track, patch) for patch in unique]
        has_ended = self._deterministic and track.duration_s is not None
        completed = []
        while len(queue) >= (1 if has_ended else self._size):
            completed += self._predict(queue)
        if has_ended:
            del self._queues[track]
        return completed


def _without_duplicates(track: PendingTrack[K], patches: list[Tensor]) -> list[UniquePatch]:
    """The patches that need a prediction; a duplicate of the patch before shares that one's."""
    found = []
    for patch in patches:
        if track.last is None or not track.last.is_duplicate(patch):
            track.last = UniquePatch(patch)
            found.append(track.last)
        elif track.last.prediction is None:
            track.last.count += 1
        else:
            track.mean.add(*track.last.prediction)
    return found
