"""How much each key of a study matters. Optuna's evaluator loads scikit-learn, which no trial needs."""

from collections.abc import Callable, Sequence

from optuna.importance import FanovaImportanceEvaluator, get_param_importances

from core.config.tuning import TuningConfig
from core.ml.tuning.study import TrialRecord, rebuild, value_of
from core.states import TrialState

MIN_TRIALS = 4
MOST_TRIALS = 400  # some seconds per objective at six keys


def importances(
    config: TuningConfig,
    trials: Sequence[TrialRecord],
    on_objective: Callable[[], object] = lambda: None,
) -> dict[str, dict[str, float]]:
    """For each objective, how much of its variance each key explains (fANOVA, Hutter et al., 2014).

    Of the newest `MOST_TRIALS` complete trials. An objective is left out if fewer than `MIN_TRIALS` are
    complete, all of them are equally good, or no tree finds any variance. `on_objective` is called before
    each.
    """
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE][-MOST_TRIALS:]
    study = rebuild(config, config.study_name, complete)
    found: dict[str, dict[str, float]] = {}
    for index, objective in enumerate(config.objectives):
        on_objective()
        values = [trial.values[index] for trial in complete if trial.values]
        if len(values) < MIN_TRIALS or max(values) == min(values):
            continue
        try:
            shares = get_param_importances(
                study, evaluator=FanovaImportanceEvaluator(seed=config.seed), target=value_of(index)
            )
        except RuntimeError:  # zero total variance
            continue
        found[objective.metric] = {key: round(share, 6) for key, share in shares.items()}
    return found
