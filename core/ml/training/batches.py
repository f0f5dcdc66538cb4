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


@dataclass(frozen=True)
class Sampler:
    """Divides every epoch into batches; each process gets its share of each batch."""

    tracks: Sequence[int]
    patches_per_track: int
    batch_size: int
    seed: int
    least: int = 1  # inputs that a process needs; if there are fewer, some are repeated

    @property
    def steps(self) -> int:
        """Batches per epoch. The remainder that does not fill one is left out, a different one each epoch."""
        return max(1, len(self.tracks) * self.patches_per_track // self.batch_size)

    def order(self, epoch: int) -> Order:
        """The tracks in the random order of this epoch."""
        repeated = np.repeat(np.asarray(self.tracks), self.patches_per_track)
        return np.random.default_rng((self.seed, epoch)).permutation(repeated)

    def draw(self, order: Order, epoch: int, step: int) -> tuple[list[int], Positions]:
        """This process's tracks and crop positions in [0, 1)."""
        chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
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
