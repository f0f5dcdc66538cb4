"""Packs the patches of several tracks into one batch and hands the answers back to their tracks."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from core.inference.patches import RunningMean
from core.inference.timings import StageTimings

K = TypeVar("K")


class Patches(Protocol):
    """Samples (T,) of one track -> its log-mel patches (F, N)."""

    def push(self, samples: Tensor) -> list[Tensor]: ...

    def finish(self) -> list[Tensor]: ...


@dataclass(eq=False)
class Track(Generic[K]):
    """One track between its first samples and its result."""

    key: K
    patches: Patches
    mean: RunningMean = field(default_factory=RunningMean)
    waiting: int = 0  # patches the model has not seen yet
    duration_s: float | None = None  # known once the track has ended

    @property
    def complete(self) -> bool:
        return self.duration_s is not None and self.waiting == 0


Queue = list[tuple[Track[K], Tensor]]


class Batcher(Generic[K]):
    """Not for several threads. Tracks come back, once each, from the call that completes them.

    With `apart`, no batch holds patches of two tracks and only a track's end cuts one short: the last bit of
    an answer depends on the size of its batch, and so on nothing but the track.
    """

    def __init__(
        self,
        model: nn.Module,
        device: torch.device,
        size: int,
        timings: StageTimings,
        *,
        apart: bool = False,
    ) -> None:
        self._model = model
        self._device = device
        self._size = size
        self._timings = timings
        self._apart = apart
        self._queues: dict[Track[K] | None, Queue[K]] = defaultdict(list)

    def push(self, track: Track[K], samples: np.ndarray) -> list[Track[K]]:
        """The next samples (T,) of a track."""
        with self._timings.measure("mel_s"):
            patches = track.patches.push(torch.from_numpy(samples).to(self._device))
        return self._enqueue(track, patches)

    def end(self, track: Track[K], duration_s: float) -> list[Track[K]]:
        """No further samples of this track follow."""
        with self._timings.measure("mel_s"):
            patches = track.patches.finish()
        track.duration_s = duration_s
        return self._enqueue(track, patches) or ([track] if track.complete else [])

    def drop(self, track: Track[K]) -> None:
        """Forget the patches of a track that failed."""
        for queue in self._queues.values():
            queue[:] = [(owner, patch) for owner, patch in queue if owner is not track]
        self._queues.pop(track, None)

    def delays_a_track(self) -> bool:
        """Whether a track that has ended waits for a batch to fill."""
        return any(track.duration_s is not None for track, _ in self._queues[None])

    def run(self) -> list[Track[K]]:
        """Show up to one batch of waiting patches to the model."""
        return self._show(self._queues[None])

    def _show(self, queue: Queue[K]) -> list[Track[K]]:
        batch = queue[: self._size]
        del queue[: self._size]
        with self._timings.measure("cnn_s"), torch.inference_mode():
            logits, embeddings = self._model(torch.stack([patch for _, patch in batch]).unsqueeze(1))
            scores = logits.float().sigmoid().cpu().numpy()
            vectors = embeddings.float().cpu().numpy()
        completed = []
        for (track, _), score, vector in zip(batch, scores, vectors, strict=True):
            track.mean.add(score, vector)
            track.waiting -= 1
            if track.complete:
                completed.append(track)
        return completed

    def _enqueue(self, track: Track[K], patches: list[Tensor]) -> list[Track[K]]:
        track.waiting += len(patches)
        queue = self._queues[track if self._apart else None]
        queue += [(track, patch) for patch in patches]
        has_ended = self._apart and track.duration_s is not None
        completed = []
        while len(queue) >= (1 if has_ended else self._size):
            completed += self._show(queue)
        if has_ended:
            del self._queues[track]
        return completed
