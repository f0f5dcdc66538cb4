"""Ending a trial early that does worse than others did at the same epoch."""

import statistics
from collections.abc import Mapping, Sequence

import optuna
from optuna.samplers import RandomSampler

from core.config.search_space import trial_experiment
from core.config.tuning import HyperbandConfig, TuningConfig
from core.ml.tuning.samplers import make_pruner, max_epochs
from core.ml.tuning.study import TrialRecord, create_study, signed_losses
from core.states import TrialState


def compared_epochs(config: TuningConfig, epoch: int) -> list[int]:
    """The epochs of other trials that decide whether a trial goes on after `epoch`; none if nothing does."""
    pruner = config.pruner
    if pruner.kind == "none":
        return []
    if not isinstance(pruner, HyperbandConfig):
        return [epoch]
    rungs = [min(pruner.min_epochs, _max_epochs(config))]
    while rungs[-1] < epoch:
        rungs.append(rungs[-1] * pruner.reduction)
    return rungs if rungs[-1] == epoch else []


def should_prune(
    config: TuningConfig,
    name: str,
    number: int,
    losses: Mapping[int, float],
    others: Sequence[TrialRecord],
) -> bool:
    """Whether the trial `number` does too badly to go on after the last of its epochs.

    `losses` are its validation losses by epoch. `others` are the other trials of the study, with their
    losses at `compared_epochs`; they need no parameters.
    """
    study = create_study(
        config,
        name,
        sampler=RandomSampler(),  # nothing is sampled
        pruner=make_pruner(config.pruner, _max_epochs(config)),
    )
    if not isinstance(config.pruner, HyperbandConfig):
        _add_complete(study, config, others)
        return _report(study.ask(), signed_losses(config, losses))
    # Optuna assigns brackets by number, which `ask` counts up.
    asked = [study.ask() for _ in range(1 + max([number, *(other.number for other in others)]))]
    rungs = compared_epochs(config, max(losses))
    for other in others:
        _report(asked[other.number], signed_losses(config, _at(other.losses, rungs)))
    return _report(asked[number], signed_losses(config, _at(losses, rungs)))


def explain_pruning(config: TuningConfig, losses: Mapping[int, float], others: Sequence[TrialRecord]) -> str:
    """Why `should_prune` was true, in a sentence; its arguments have the same meaning."""
    epoch = max(losses)
    if isinstance(config.pruner, HyperbandConfig):
        return (
            f"Ended after epoch {epoch}: of the trials of its bracket only the best of each "
            f"{config.pruner.reduction} go on, and its validation loss was {losses[epoch]:.4g}."
        )
    theirs = [
        other.losses[epoch]
        for other in others
        if other.state == TrialState.COMPLETE and epoch in other.losses
    ]
    return (
        f"Ended after epoch {epoch}: its lowest validation loss was {min(losses.values()):.4g}, above "
        f"{statistics.median(theirs):.4g}, the median of {len(theirs)} complete trials at that epoch."
    )


def _at(losses: Mapping[int, float], epochs: Sequence[int]) -> dict[int, float]:
    return {epoch: losses[epoch] for epoch in epochs if epoch in losses}


def _add_complete(study: optuna.Study, config: TuningConfig, others: Sequence[TrialRecord]) -> None:
    for other in others:
        if other.state == TrialState.COMPLETE:
            reports = signed_losses(config, other.losses)
            study.add_trial(optuna.create_trial(value=0.0, intermediate_values=reports))


def _report(trial: optuna.Trial, reports: Mapping[int, float]) -> bool:
    """Whether the trial is to be pruned after the last of its reports; a pruner remembers each of them."""
    decision = False
    for epoch, value in sorted(reports.items()):
        trial.report(value, epoch)
        decision = trial.should_prune()
    return decision


def _max_epochs(config: TuningConfig) -> int:
    return max_epochs(config.space, trial_experiment(config, {}).training.epochs)
