"""Ending a trial early that does worse than others did."""

from optuna import Trial, TrialPruned
from optuna.study import StudyDirection

from core.ml.training.reports import EpochReport


def report(trial: Trial, step: int, value: float) -> None:
    """Tell how a trial stands at a step, in the study's own direction; raises `TrialPruned` to end it.

    What a resumed trial has told before is not told again.
    """
    if step not in trial.study._storage.get_trial(trial._trial_id).intermediate_values:
        trial.report(value, step)
    if trial.should_prune():
        raise TrialPruned


def report_epoch(trial: Trial, epoch: EpochReport) -> None:
    """Compare the validation loss with that of other trials; without one nothing is compared."""
    if epoch.validation_loss is None:
        return
    # Optuna takes reports for values of the objective: in a study that maximizes, less loss must be more.
    sign = -1 if trial.study.direction == StudyDirection.MAXIMIZE else 1
    report(trial, epoch.epoch, sign * epoch.validation_loss)
