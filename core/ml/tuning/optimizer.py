"""Search for the best parameters of any function, without a server."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import optuna

from core.config.search_space import grid_size
from core.config.tuning import GridConfig, NoPruner, PrunerConfig, SamplerConfig, TPEConfig
from core.errors import MFAError
from core.ml.tuning.samplers import make_pruner, make_sampler
from core.ml.tuning.space import Shorthand, parse_space, suggest

# Takes the parameters; with a pruner also `report(step, value)`, which raises to end a trial that does badly.
Objective = Callable[..., float]


class BayesianOptimizer:
    """Samples parameters where earlier trials did well.

    `BayesianOptimizer({"learning_rate": (1e-5, 1e-2), "batch_size": [16, 32, 64]}, objective).optimize(50)`
    returns the best parameters. `core.ml.tuning.space.parse_space` says what a pair and a list mean.
    """

    def __init__(
        self,
        param_space: Mapping[str, Shorthand],
        objective: Objective | None = None,
        *,
        direction: Literal["maximize", "minimize"] = "maximize",
        sampler: SamplerConfig = TPEConfig(),  # noqa: B008 (frozen)
        pruner: PrunerConfig = NoPruner(),  # noqa: B008 (frozen)
        max_steps: int = 100,
        seed: int = 0,
    ) -> None:
        """`max_steps`: how often a trial reports at most; only Hyperband needs it."""
        self.space = parse_space(param_space)
        self._objective, self._sampler, self._pruner = objective, sampler, pruner
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study = optuna.create_study(
            direction=direction,
            sampler=make_sampler(sampler, self.space, seed),
            pruner=make_pruner(pruner, max_steps),
        )

    def optimize(
        self, n_trials: int = 50, objective: Objective | None = None, *, timeout_s: float | None = None
    ) -> dict[str, Any]:
        """Run `n_trials` more (or until `timeout_s` is over) and return the best parameters of all so far.

        A trial that raises an `MFAError`, such as a training that diverged, fails; the search goes on.
        """
        wanted = objective or self._objective
        if wanted is None:
            raise ValueError("there is nothing to optimize: give an objective")

        def evaluate(trial: optuna.Trial) -> float:
            params = suggest(trial, self.space)
            return wanted(params) if self._pruner.kind == "none" else wanted(params, partial(_report, trial))

        if isinstance(self._sampler, GridConfig):
            n_trials = min(n_trials, grid_size(self._sampler, self.space) - len(self.study.trials))
        self.study.optimize(evaluate, n_trials, timeout=timeout_s, catch=(MFAError,))
        return self.best_params

    @property
    def best_params(self) -> dict[str, Any]:
        """Raises ValueError while no trial is complete."""
        return dict(self.study.best_params)

    @property
    def best_value(self) -> float:
        return float(self.study.best_value)


def _report(trial: optuna.Trial, step: int, value: float) -> None:
    """Report the value at a step, in the direction of the search; raises `TrialPruned` to end the trial."""
    trial.report(value, step)
    if trial.should_prune():
        raise optuna.TrialPruned
