"""Optuna's side of a study that many processes work on by asking and telling."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from core.config.search_space import trial_experiment
from core.config.tuning import TuningConfig
from core.ml.tuning.samplers import make_pruner, make_sampler, most_epochs
from core.ml.tuning.space import suggest

MIN_TRIALS = 4  # for importances
MOST_TRIALS = 400  # of which importances are told: some seconds per objective at six keys


@dataclass(frozen=True)
class Asked:
    """A trial that is to be done."""

    number: int  # Optuna's
    params: dict[str, Any]


def ask(storage: BaseStorage, name: str, config: TuningConfig, number: int, known: Collection[int]) -> Asked:
    """New parameters, as those of the trial that we call `number`.

    `known` are Optuna's numbers of all trials that are written down. One that runs and is not among them was
    asked for by a process that died before it could write: it is taken over, so that none is left behind.
    The caller sees to it that nobody else asks meanwhile.
    """
    study = _open(storage, name, config, number)
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    orphans = [trial for trial in running if trial.number not in known]
    trial = optuna.Trial(study, orphans[0]._trial_id) if orphans else study.ask()
    return Asked(trial.number, suggest(trial, config.space))


def resume(storage: BaseStorage, name: str, config: TuningConfig, number: int) -> optuna.Trial:
    """The trial that Optuna calls `number`, to report to."""
    study = _open(storage, name, config, None)
    return optuna.Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)


def ended(trial: optuna.Trial) -> tuple[TrialState, list[float] | None] | None:
    """How a trial has ended, None while it runs."""
    frozen = trial.study._storage.get_trial(trial._trial_id)
    return (frozen.state, frozen.values) if frozen.state.is_finished() else None


def tell(trial: optuna.Trial, values: Sequence[float] | None) -> None:
    """End a trial with its values, or as a pruned one; telling it twice changes nothing."""
    if values is None:
        trial.study.tell(trial.number, state=TrialState.PRUNED, skip_if_finished=True)
    else:
        trial.study.tell(trial.number, list(values), skip_if_finished=True)


def importances(
    storage: BaseStorage, name: str, config: TuningConfig, on_objective: Callable[[], object] = lambda: None
) -> dict[str, dict[str, float]]:
    """For each objective, how much of its variance each key explains (fANOVA, Hutter et al., 2014).

    Of the newest `MOST_TRIALS` complete trials. An objective is left out where too few are complete, all of
    them are equally good, or no tree finds any variance. `on_objective` is called before each.
    """
    study = _open(storage, name, config, None)
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))[-MOST_TRIALS:]
    newest = optuna.create_study(directions=study.directions)
    newest.add_trials(complete)
    found: dict[str, dict[str, float]] = {}
    for index, objective in enumerate(config.objectives):
        on_objective()
        values = [trial.values[index] for trial in complete]
        if len(complete) < MIN_TRIALS or max(values) == min(values):
            continue
        try:
            shares = get_param_importances(
                newest,
                evaluator=FanovaImportanceEvaluator(seed=config.seed),
                target=_value_of(index),
            )
        except RuntimeError:  # zero total variance
            continue
        found[objective.metric] = {key: round(share, 6) for key, share in shares.items()}
    return found


def _value_of(objective: int) -> Callable[[FrozenTrial], float]:
    def value(trial: FrozenTrial) -> float:
        return float(trial.values[objective])

    return value


def _open(storage: BaseStorage, name: str, config: TuningConfig, number: int | None) -> optuna.Study:
    """The study, made by whoever comes first; a sampler is only needed by who asks."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = (
        RandomSampler() if number is None else make_sampler(config.sampler, config.space, config.seed, number)
    )
    epochs = trial_experiment(config, {}).training.epochs
    return optuna.create_study(
        storage=storage,
        study_name=name,
        directions=["maximize" if objective.maximizes else "minimize" for objective in config.objectives],
        sampler=sampler,
        pruner=make_pruner(config.pruner, most_epochs(config.space, epochs)),
        load_if_exists=True,
    )
