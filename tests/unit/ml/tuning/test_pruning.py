"""Pruning from stored curves decides like a pruner that has seen every report."""

import random
from typing import Any

import optuna
import pytest

from core.ml.tuning.pruning import compared_epochs, explain_pruning, should_prune
from core.ml.tuning.samplers import make_pruner
from core.ml.tuning.study import TrialRecord, create_study
from core.states import TrialState
from tests.unit.ml.tuning.studies import make_study

EPOCHS = 9
MEDIAN: dict[str, Any] = {"kind": "median", "startup": 2, "warm_up": 2}
HYPERBAND: dict[str, Any] = {"kind": "hyperband", "min_epochs": 1, "reduction": 3}
MAXIMIZED: dict[str, Any] = {"objectives": [{"metric": "roc_auc_macro"}]}
MINIMIZED: dict[str, Any] = {"objectives": [{"metric": "validation_loss"}]}


@pytest.mark.parametrize("direction", [MAXIMIZED, MINIMIZED])
@pytest.mark.parametrize("pruner", [MEDIAN, HYPERBAND])
def test_decisions_are_those_of_a_pruner_that_saw_every_report(pruner, direction):
    config = make_study(pruner=pruner, **direction)
    sign = -1 if config.objectives[0].maximizes else 1
    live = create_study(config, "mine", pruner=make_pruner(config.pruner, EPOCHS))
    draw = random.Random(1)
    trials = [live.ask() for _ in range(40)]
    losses: list[dict[int, float]] = [{} for _ in trials]
    states = [TrialState.RUNNING] * len(trials)
    for first in range(0, len(trials), 2):  # two at a time, epoch by epoch
        for epoch in range(1, EPOCHS + 1):
            for number in (first, first + 1):
                if states[number] != TrialState.RUNNING:
                    continue
                losses[number][epoch] = draw.random() + 1 / epoch
                trials[number].report(sign * losses[number][epoch], epoch)
                expected = trials[number].should_prune()
                others = [
                    TrialRecord(
                        each,
                        states[each],
                        losses={
                            at: losses[each][at]
                            for at in compared_epochs(config, epoch)
                            if at in losses[each]
                        },
                    )
                    for each in range(first + 2)
                    if each != number
                ]
                compared = bool(compared_epochs(config, epoch))
                found = compared and should_prune(config, "mine", number, losses[number], others)
                assert found == expected, (number, epoch)
                if expected:
                    live.tell(trials[number], state=optuna.trial.TrialState.PRUNED)
                    states[number] = TrialState.PRUNED
        for number in (first, first + 1):
            if states[number] == TrialState.RUNNING:
                live.tell(trials[number], 0.0)
                states[number] = TrialState.COMPLETE
    assert set(states) == {TrialState.COMPLETE, TrialState.PRUNED}


def test_only_epochs_at_which_trials_are_compared_are_asked_for():
    assert compared_epochs(make_study(), 3) == []
    assert compared_epochs(make_study(pruner=MEDIAN), 3) == [3]
    hyperband = make_study(pruner=HYPERBAND)
    assert [compared_epochs(hyperband, epoch) for epoch in (1, 2, 3, 4, 9)] == [
        [1],
        [],
        [1, 3],
        [],
        [1, 3, 9],
    ]


def test_the_reason_names_what_was_compared():
    others = [
        TrialRecord(number, TrialState.COMPLETE, losses={3: loss})
        for number, loss in enumerate((0.2, 0.4, 0.5))
    ]
    others.append(TrialRecord(3, TrialState.RUNNING, losses={3: 0.1}))  # counts for nothing yet
    losses = {1: 0.9, 2: 0.6, 3: 0.7}
    assert should_prune(make_study(pruner=MEDIAN), "mine", 4, losses, others)
    assert explain_pruning(make_study(pruner=MEDIAN), losses, others) == (
        "Ended after epoch 3: its lowest validation loss was 0.6, above 0.4, "
        "the median of 3 complete trials at that epoch."
    )
    assert explain_pruning(make_study(pruner=HYPERBAND), losses, others) == (
        "Ended after epoch 3: of the trials of its bracket only the best of each 3 go on, "
        "and its validation loss was 0.7."
    )
