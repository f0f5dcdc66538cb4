"""When the fits of a cross-validation end.

Each fold is ended by the loss of a part of its own training tracks, which it does not learn from. So the
tracks that score it have no say in its number of epochs, as they have none in the penalty of a logistic head.
Shapes: M training tracks, L labels.
"""

from collections.abc import Sequence
from dataclasses import replace
from statistics import median_high

import numpy as np

from core.config.experiment import ExperimentConfig
from core.ml.datasets.stratify import assign_folds
from core.ml.evaluation.arrays import Bools
from core.ml.training.context import Stage
from core.ml.training.prepared_dataset import PreparedDataset
from core.ml.training.reports import EpochReport

PARTS = 5  # of the training tracks, of which one is held back
FEWEST = 3  # training tracks per label, on average: the loss of a part of fewer says nothing


def with_validation(stage: Stage, prepared: PreparedDataset, config: ExperimentConfig) -> Stage:
    """The stage with a part of its training tracks held back, if the model stops early and has enough."""
    if not config.stops_early:
        return stage
    rows = np.array(stage.train)
    targets = prepared.tracks.targets.numpy()[rows] > 0
    groups = [prepared.groups[row] for row in stage.train]
    held_back = hold_back(targets, groups, stage.seed(config.seed))
    return replace(stage, train=rows[~held_back].tolist(), validation=rows[held_back].tolist())


def hold_back(targets: Bools, groups: Sequence[int], seed: int) -> Bools:
    """Which tracks (M,) validate a fit, given targets (M, L) and groups (M,), whose tracks stay together.

    None of too few tracks, and none of a group without which a label would have no tracks to learn from.
    """
    if targets.sum() < FEWEST * targets.shape[1]:
        return np.zeros(len(targets), bool)
    held_back = np.array(assign_folds(targets, groups, PARTS, seed)) == PARTS - 1
    lost = targets.any(axis=0) & ~targets[~held_back].any(axis=0)
    needed = np.asarray(groups)[targets[:, lost].any(axis=1)]
    return np.asarray(held_back & ~np.isin(groups, needed))


def best_epochs(histories: Sequence[Sequence[EpochReport]]) -> list[int | None]:
    """The epoch of each fold with the least validation loss; None of a fold that held nothing back."""
    validated = [[report for report in history if report.is_best] for history in histories]
    return [best[-1].epoch if best else None for best in validated]


def final_epochs(best: Sequence[int | None], config: ExperimentConfig) -> int | None:
    """The epochs of the fit on all tracks: the median of those of the folds. None if nothing stops early.

    A fold that held nothing back counts with all epochs, which it took.
    """
    if not config.stops_early:
        return None
    return median_high(config.training.epochs if each is None else each for each in best)


def describe(best: Sequence[int | None], config: ExperimentConfig) -> str | None:
    """How many epochs the fits took, and what that means for the scores; None if nothing stops early."""
    if not config.stops_early:
        return None
    known, epochs = [each for each in best if each is not None], config.training.epochs
    if not known:
        return f"The folds have too few tracks or artists to stop early: every fit took {epochs} epochs."
    others = len(best) - len(known)
    took_all = f"; {others} of {len(best)} held nothing back and took all {epochs}" if others else ""
    return (
        f"The model was trained on all tracks for {final_epochs(best, config)} epochs, the median of the "
        f"best epochs of the folds ({min(known)} to {max(known)}{took_all}). To find its best epoch, a fold "
        "held back up to a fifth of its training tracks, from labels with enough artists. It was therefore "
        "trained on fewer tracks than the model, and its scores tend to be too low rather than too high."
    )
