"""Samplers and pruners, by their configuration."""

import itertools
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

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


class Grid(RandomSampler):
    """Every point of a grid once, in an order that the seed decides.

    A point is taken if a trial of the study has its parameters, however the trial ended. After the last
    point the grid starts again.
    """

    def __init__(self, values: Mapping[str, Sequence[Any]], seed: int) -> None:
        super().__init__(seed)
        points = [dict(zip(values, point, strict=True)) for point in itertools.product(*values.values())]
        self._points = [points[place] for place in np.random.default_rng(seed).permutation(len(points))]
        self._point = self._points[0]

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        taken = {tuple(sorted(other.params.items())) for other in study.get_trials(deepcopy=False)}
        free = (point for point in self._points if tuple(sorted(point.items())) not in taken)
        self._point = next(free, self._points[trial.number % len(self._points)])

    def sample_independent(
        self,
        study: Study,  # noqa: ARG002 (Optuna's signature)
        trial: FrozenTrial,  # noqa: ARG002
        param_name: str,
        param_distribution: BaseDistribution,  # noqa: ARG002
    ) -> Any:
        return self._point[param_name]


def make_sampler(config: SamplerConfig, space: Space, seed: int, number: int = 0) -> BaseSampler:
    """The sampler of a whole search, or of the trial `number` of a study that is rebuilt for each trial.

    Each trial draws by its own seed: with one seed for all, every trial would draw the same numbers.
    """
    own_seed = int(np.random.SeedSequence((seed, number)).generate_state(1)[0])
    if isinstance(config, GridConfig):
        return Grid(grid_points(config, space), seed)
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
                constant_liar=True,  # running trials count as bad ones, so that parallel trials differ
            )
    return RandomSampler(seed=own_seed)


def make_pruner(config: PrunerConfig, epochs: int) -> BasePruner:
    """Compares one value per epoch, of at most `epochs`."""
    if isinstance(config, MedianConfig):
        return MedianPruner(n_startup_trials=config.startup, n_warmup_steps=config.warm_up)
    if isinstance(config, HyperbandConfig):
        return HyperbandPruner(
            min_resource=min(config.min_epochs, epochs),
            max_resource=epochs,
            reduction_factor=config.reduction,
        )
    return NopPruner()


def max_epochs(space: Space, epochs: int) -> int:
    """The most epochs that a trial can have; `epochs`: unless the space searches them."""
    wanted: Mapping[str, Any] = dict(space["training.epochs"]) if "training.epochs" in space else {}
    return int(wanted.get("high") or max(wanted.get("choices") or (epochs,)))
