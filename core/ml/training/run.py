"""What all parts of one training share."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from core.config.experiment import ExperimentConfig
from core.ml.training.inputs import Inputs
from core.ml.training.processes import world_size
from core.ml.training.reports import EpochReport
from core.states import Activity

OnTrack = Callable[[int, int], None]  # tracks made ready, tracks in all


def ignore_progress(_done: int, _total: int) -> None:
    """For those who do not want to be told."""


OnActivity = Callable[[Activity, int, int | None], None]  # how much of it is done, of how much if known


def ignore_activity(_activity: Activity, _done: int, _total: int | None) -> None:
    """For those who do not show what a training is doing."""


class TrainingStopped(Exception):
    """Training was asked to stop; calling it again goes on from where it was."""


@dataclass(frozen=True)
class Run:
    config: ExperimentConfig  # resolved
    device: torch.device
    on_epoch: Callable[[EpochReport], None]
    should_stop: Callable[[], bool]
    on_activity: OnActivity = ignore_activity

    def note(self, activity: Activity, done: int = 0, total: int | None = None) -> None:
        """Tell what the training is doing, and stop it here when it was asked to."""
        self.check()
        self.on_activity(activity, done, total)

    def check(self) -> None:
        """Raise `TrainingStopped` when asked to; not where other processes would then wait for this one."""
        if self.should_stop() and world_size() == 1:
            raise TrainingStopped


@dataclass(frozen=True)
class Tracks:
    """Everything that can be learnt from or tested on; tracks are named by their row. L labels."""

    inputs: Inputs
    targets: Tensor  # (M, L) float32
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Stage:
    """One fit of the run: the only one, a fold, or the final one after the folds."""

    train: list[int]  # rows of the tracks
    validation: list[int]  # empty: all epochs are trained and the last weights kept
    checkpoints: Path
    fold: int | None = None  # from 1
    folds: int | None = None

    @property
    def number(self) -> int:
        """Added to the seed, so that no two fits of a run draw the same."""
        return self.fold or 0
