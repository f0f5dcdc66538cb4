"""The context shared by all parts of one training."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.config.experiment import ExperimentConfig
from core.ml.training.inputs import Inputs
from core.ml.training.processes import world_size
from core.ml.training.reports import EpochReport
from core.states import Activity

OnTrack = Callable[[int, int], None]  # cached tracks, total


def ignore_progress(_done: int, _total: int) -> None:
    """An `OnTrack` that does nothing."""


OnActivity = Callable[[Activity, int, int | None], None]  # activity, done, total if known


def ignore_activity(_activity: Activity, _done: int, _total: int | None) -> None:
    """An `OnActivity` that does nothing."""


class TrainingStopped(Exception):
    """The training was asked to stop; the same call resumes it."""


@dataclass(frozen=True)
class TrainingContext:
    config: ExperimentConfig  # resolved
    device: torch.device
    on_epoch: Callable[[EpochReport], None]
    should_stop: Callable[[], bool]
    on_activity: OnActivity = ignore_activity

    def note(self, activity: Activity, done: int = 0, total: int | None = None) -> None:
        """Report the current activity. Raises TrainingStopped if asked to stop."""
        self.check()
        self.on_activity(activity, done, total)

    def check(self) -> None:
        """Raise TrainingStopped if asked to stop, unless other processes would then wait for this one."""
        if self.should_stop() and world_size() == 1:
            raise TrainingStopped


@dataclass(frozen=True)
class Tracks:
    """Inputs and targets of all tracks, for training and testing. Shapes: M tracks, L labels."""

    inputs: Inputs
    targets: Tensor  # (M, L) float32
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Stage:
    """One fit of the training: the only one, a fold, or the final one after the folds."""

    train: list[int]  # rows of `Tracks`
    validation: list[int]  # if empty, all epochs are trained and the last weights are kept
    checkpoints: Path
    fold: int | None = None  # from 1
    folds: int | None = None
    epoch_tracks: int | None = None  # of the fit on all tracks, so that those of the folds take as many steps
    scores_training: bool = False  # whether the training tracks are scored too, each by a fit without it
    epochs: int | None = None  # if not all of the configuration, whose learning rates these have

    def seed(self, of_training: int) -> int:
        """The seed of this fit: different for every fit of every training."""
        return int(np.random.SeedSequence((of_training, self.fold or 0)).generate_state(1)[0] >> 1)
