"""Packs the patches of several tracks into one batch and hands the answers back to their tracks."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from core.ml.inference.patches import RunningMean
from core.ml.inference.timings import StageTimings

K = TypeVar("K")

# Log-mel patches that nowhere differ by more are one to the model: silence, a tone that stands still.
SAME = 1e-3


class Patches(Protocol):
    """Samples (T,) of one track -> its log-mel patches (F, N)."""

    def push(self, samples: Tensor) -> list[Tensor]: ...

    def finish(self) -> list[Tensor]: ...


@dataclass(eq=False)
class Look:
    """A patch (F, N) that the model is to see, and what it stands for."""

    patch: Tensor
    times: int = 1  # so many in a row are the same
    answer: tuple[np.ndarray, np.ndarray] | None = None  # scores (L,) and embedding (D,), once it was seen

    def stands_for(self, patch: Tensor) -> bool:
        return patch.shape == self.patch.shape and torch.allclose(patch, self.patch, rtol=0, atol=SAME)


@dataclass(eq=False)
class Track(Generic[K]):
    """One track between its first samples and its result."""

    key: K
    patches: Patches
    mean: RunningMean = field(default_factory=RunningMean)
    last: Look | None = None
    waiting: int = 0  # looks that the model has not had yet
    duration_s: float | None = None  # known once the track has ended
    warnings: tuple[str, ...] = ()  # as well

    @property
    def complete(self) -> bool:
        return self.duration_s is not None and self.waiting == 0


Queue = list[tuple[Track[K], Look]]


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
            queue[:] = [(owner, look) for owner, look in queue if owner is not track]
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
            logits, embeddings = self._model(torch.stack([look.patch for _, look in batch]).unsqueeze(1))
            scores = logits.float().sigmoid().cpu().numpy()
            vectors = embeddings.float().cpu().numpy()
        completed = []
        for (track, look), score, vector in zip(batch, scores, vectors, strict=True):
            track.mean.add(score, vector, look.times)
            look.answer = score, vector
            track.waiting -= 1
            if track.complete:
                completed.append(track)
        return completed

    def _enqueue(self, track: Track[K], patches: list[Tensor]) -> list[Track[K]]:
        queue = self._queues[track if self._apart else None]
        looks = _looks(track, patches)
        track.waiting += len(looks)
        queue += [(track, look) for look in looks]
        has_ended = self._apart and track.duration_s is not None
        completed = []
        while len(queue) >= (1 if has_ended else self._size):
            completed += self._show(queue)
        if has_ended:
            del self._queues[track]
        return completed


def _looks(track: Track[K], patches: list[Tensor]) -> list[Look]:
    """What the model has to see of these patches: those that are like the last one have its answer."""
    looks = []
    for patch in patches:
        if track.last is None or not track.last.stands_for(patch):
            track.last = Look(patch)
            looks.append(track.last)
        elif track.last.answer is None:
            track.last.times += 1
        else:
            track.mean.add(*track.last.answer)
    return looks
