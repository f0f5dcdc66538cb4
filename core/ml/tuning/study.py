"""A study as Optuna knows it: rebuilt from the trials that the caller has stored, and kept nowhere else."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from core.config.tuning import TuningConfig
from core.ml.tuning.samplers import make_sampler
from core.ml.tuning.space import distribution_of, suggest
from core.states import TrialState

_STATES = {
    TrialState.WAITING: OptunaState.WAITING,
    TrialState.RUNNING: OptunaState.RUNNING,
    TrialState.COMPLETE: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.FAILED: OptunaState.FAIL,
    TrialState.CANCELLED: OptunaState.FAIL,
}


@dataclass(frozen=True)
class TrialRecord:
    """What is stored of a trial."""

    number: int
    state: TrialState
    params: Mapping[str, Any] = field(default_factory=dict)  # by dotted key; empty until it has started
    values: Sequence[float] | None = None  # in the order of the objectives; None unless it is complete
    losses: Mapping[int, float] = field(default_factory=dict)  # validation loss by epoch, from 1
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def is_tried(self) -> bool:
        """Whether its parameters need not be tried again."""
        return bool(self.params) and self.state != TrialState.CANCELLED


def ask(config: TuningConfig, name: str, number: int, trials: Sequence[TrialRecord]) -> dict[str, Any]:
    """Parameters for the trial `number`, by dotted key.

    `trials` are all of the study, in the order of their numbers. The same trials give the same parameters.
    """
    sampler = make_sampler(config.sampler, config.space, config.seed, number)
    # `study.ask()` gives the first waiting trial; the other ones only keep their numbers.
    others_failed = [
        replace(trial, state=TrialState.FAILED)
        if trial.state == TrialState.WAITING and trial.number != number
        else trial
        for trial in trials
    ]
    study = rebuild(config, name, others_failed, sampler=sampler)
    return suggest(study.ask(), config.space)


def rebuild(
    config: TuningConfig,
    name: str,
    trials: Iterable[TrialRecord],
    *,
    sampler: BaseSampler | None = None,
    storage: str | None = None,
) -> optuna.Study:
    """The study with all these trials, in memory or at the URL `storage`."""
    study = create_study(config, name, sampler=sampler, storage=storage)
    for trial in trials:
        study.add_trial(_frozen(config, trial))
    return study


def create_study(
    config: TuningConfig,
    name: str,
    *,
    sampler: BaseSampler | None = None,
    pruner: BasePruner | None = None,
    storage: str | None = None,
) -> optuna.Study:
    """An empty study with the objectives of `config`."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(
        storage=storage,
        study_name=name,
        directions=["maximize" if objective.maximizes else "minimize" for objective in config.objectives],
        sampler=sampler,
        pruner=pruner,
    )


def _frozen(config: TuningConfig, trial: TrialRecord) -> FrozenTrial:
    params = dict(trial.params) if trial.is_tried else {}
    has_reports = len(config.objectives) == 1  # Optuna has none in a study of several objectives
    frozen = optuna.create_trial(
        state=_STATES[trial.state],
        params=params,
        distributions={key: distribution_of(config.space[key]) for key in params},
        values=None if trial.values is None else list(trial.values),
        intermediate_values=signed_losses(config, trial.losses) if has_reports else None,
    )
    if trial.started_at is not None:
        frozen.datetime_start = trial.started_at
    if trial.finished_at is not None and frozen.state.is_finished():
        frozen.datetime_complete = trial.finished_at
    return frozen


def signed_losses(config: TuningConfig, losses: Mapping[int, float]) -> dict[int, float]:
    """Losses as intermediate values, by epoch.

    Optuna takes these for values of the objective: in a study that maximizes, less loss must be more.
    """
    sign = -1 if config.objectives[0].maximizes else 1
    return {epoch: sign * loss for epoch, loss in losses.items()}


def value_of(objective: int) -> Callable[[FrozenTrial], float]:
    """Reads the value of one objective from a complete trial."""

    def value(trial: FrozenTrial) -> float:
        return float(trial.values[objective])

    return value
