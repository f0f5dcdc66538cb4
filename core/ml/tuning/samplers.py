"""Samplers and pruners, by their configuration."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna import Study
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, GPSampler, GridSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from core.config.search_space import grid_points
from core.config.tuning import (
    GPConfig,
    GridConfig,
    HyperbandConfig,
    MedianConfig,
    PrunerConfig,
    SamplerConfig,
    TPEConfig,
)
from core.ml.tuning.space import Space


class Grid(GridSampler):
    """Optuna's grid, which for whoever asks and tells must not stop the loop of a study that has none."""

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """The grid's size bounds the number of trials instead."""


def make_sampler(config: SamplerConfig, space: Space, seed: int, number: int = 0) -> BaseSampler:
    """The sampler of a process, or of the trial `number` of a study that many processes work on.

    Each trial draws by its own seed: with one seed for all, processes would suggest the same.
    """
    own_seed = int(np.random.SeedSequence((seed, number)).generate_state(1)[0])
    if isinstance(config, GridConfig):
        return Grid(grid_points(config, space), seed=seed)
    if isinstance(config, GPConfig):
        return GPSampler(seed=own_seed, n_startup_trials=config.startup, warn_independent_sampling=False)
    if isinstance(config, TPEConfig):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return TPESampler(
                seed=own_seed,
                n_startup_trials=config.startup,
                multivariate=True,
                group=any(dimension.when for dimension in space.values()),
                constant_liar=True,  # trials that still run count as bad ones: nobody tries next to them
            )
    return RandomSampler(seed=own_seed)


def make_pruner(config: PrunerConfig, epochs: int) -> BasePruner:
    """Looks at one value per epoch, of which there are at most `epochs`."""
    if isinstance(config, MedianConfig):
        return MedianPruner(n_startup_trials=config.startup, n_warmup_steps=config.warm_up)
    if isinstance(config, HyperbandConfig):
        return HyperbandPruner(
            min_resource=min(config.min_epochs, epochs),
            max_resource=epochs,
            reduction_factor=config.reduction,
        )
    return NopPruner()


def most_epochs(space: Space, epochs: int) -> int:
    """The epochs that a trial can have."""
    wanted: Mapping[str, Any] = dict(space["training.epochs"]) if "training.epochs" in space else {}
    return int(wanted.get("high") or max(wanted.get("choices") or (epochs,)))
