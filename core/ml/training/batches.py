"""Draws the tracks of each step, and prepares batches ahead while the model trains.

Every draw follows from (seed, epoch, step), so a resumed training draws the same as an uninterrupted one.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from core.ml.training.inputs import Positions
from core.ml.training.processes import rank, world_size

T = TypeVar("T")
Order = npt.NDArray[np.int64]

BATCHES_AHEAD = 3
LEAST_CROPS = 500  # of all tracks together, per epoch


def usual_crops(tracks: int) -> int:
    """Random crops of each track per epoch, so that an epoch of a small dataset is long enough too."""
    return -(-LEAST_CROPS // tracks)


@dataclass(frozen=True)
class Sampler:
    """Divides every epoch into batches of nearly equal size; each process gets its share of each batch."""

    tracks: Sequence[int]
    patches_per_track: int
    batch_size: int  # at most
    seed: int
    least: int = 1  # inputs that a process needs; if there are fewer, some are repeated
    epoch_tracks: int | None = None  # tracks that an epoch counts; if more than its own, some are repeated

    @property
    def inputs(self) -> int:
        """Inputs per epoch."""
        return self.patches_per_track * (self.epoch_tracks or len(self.tracks))

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return -(-self.inputs // self.batch_size)

    def order(self, epoch: int) -> Order:
        """The tracks in the random order of this epoch."""
        repeated = np.repeat(np.asarray(self.tracks), self.patches_per_track)
        random = np.random.default_rng((self.seed, epoch))
        rounds = -(-self.inputs // len(repeated))
        return np.concatenate([random.permutation(repeated) for _ in range(rounds)])[: self.inputs]

    def draw(self, order: Order, epoch: int, step: int) -> tuple[list[int], Positions]:
        """This process's tracks and crop positions in [0, 1)."""
        chosen = order[step * self.inputs // self.steps : (step + 1) * self.inputs // self.steps]
        positions = np.random.default_rng((self.seed, epoch, step)).random(len(chosen))
        each = max(self.least, len(chosen) // world_size())
        own = (rank() + world_size() * np.arange(each)) % len(chosen)
        return chosen[own].tolist(), positions[own]


def prepared(make: Callable[[int], T], steps: range) -> Generator[tuple[T, float], None, None]:
    """`make(step)` of each step, made ahead by a thread, and the seconds the caller waited for it."""
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        waiting: deque[Future[T]] = deque()
        upcoming = iter(steps)
        for step in upcoming:
            waiting.append(pool.submit(make, step))
            if len(waiting) == BATCHES_AHEAD:
                break
        try:
            while waiting:
                start = time.perf_counter()
                ready = waiting.popleft().result()
                waited = time.perf_counter() - start
                for step in upcoming:
                    waiting.append(pool.submit(make, step))
                    break
                yield ready, waited
        finally:
            for future in waiting:
                future.cancel()
