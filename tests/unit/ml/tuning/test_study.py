"""A rebuilt study samples like one that has lived all along; what its trials say about its keys."""

import math
from typing import Any

import optuna
import pytest

from core.config.tuning import TuningConfig
from core.ml.tuning import importances as module
from core.ml.tuning.importances import importances
from core.ml.tuning.samplers import make_sampler
from core.ml.tuning.space import suggest
from core.ml.tuning.study import TrialRecord, ask, create_study, rebuild
from core.states import TrialState
from tests.unit.ml.tuning.studies import LR, make_study

CONDITIONAL: dict[str, Any] = {
    "model.kind": {"kind": "categorical", "choices": ["crnn", "transfer"]},
    "model.hidden_size": {"kind": "int", "low": 8, "high": 64, "log": True, "when": {"model.kind": "crnn"}},
    "training.batch_size": {"kind": "int", "low": 8, "high": 64, "step": 8},
    "training.lr": LR,
}
TWO = [{"metric": "roc_auc_macro"}, {"metric": "latency_ms"}]
STARTUP = 3


def quality(params: dict[str, Any], objectives: int) -> list[float]:
    distance = math.log10(params["training.lr"] / 1e-3) ** 2 + params.get("model.hidden_size", 40) / 64
    return [-distance, distance * params.get("training.batch_size", 1)][:objectives]


def end_of(number: int) -> TrialState:
    """Some trials fail, some are pruned."""
    return {5: TrialState.FAILED, 7: TrialState.PRUNED, 9: TrialState.PRUNED}.get(number, TrialState.COMPLETE)


@pytest.mark.parametrize(
    ("changes", "trials", "parallel"),
    [
        ({"sampler": {"kind": "tpe", "startup": STARTUP}}, 14, 2),
        # One at a time: Optuna lets a running trial also count by values of keys that it does not have.
        ({"sampler": {"kind": "tpe", "startup": STARTUP}, "space": CONDITIONAL}, 14, 1),
        ({"sampler": {"kind": "tpe", "startup": STARTUP}, "objectives": TWO}, 14, 2),
        ({"sampler": {"kind": "gp", "startup": STARTUP}}, 7, 2),
        ({"sampler": {"kind": "random"}}, 7, 2),
    ],
)
def test_a_rebuilt_study_samples_what_a_live_one_would(changes, trials, parallel):
    config = make_study(**changes)
    objectives = len(config.objectives)
    live = create_study(config, "mine")
    running: list[tuple[optuna.Trial, dict[str, Any]]] = []
    records: list[TrialRecord] = []
    for number in range(trials):
        live.sampler = make_sampler(config.sampler, config.space, config.seed, number)
        trial = live.ask()
        expected = suggest(trial, config.space)
        waiting = TrialRecord(number, TrialState.WAITING)
        assert ask(config, "mine", number, [*records, waiting]) == expected
        running.append((trial, expected))
        records.append(TrialRecord(number, TrialState.RUNNING, expected))
        if len(running) == parallel:
            records[number - parallel + 1] = end(config, *running.pop(0), objectives)
    assert len({str(record.params) for record in records}) == trials


def end(config: TuningConfig, trial: optuna.Trial, params: dict[str, Any], objectives: int) -> TrialRecord:
    """End a trial of a live study; the record of it."""
    state, values = end_of(trial.number), quality(params, objectives)
    losses = {1: 0.5, 2: -values[0]}
    if objectives == 1:
        for epoch, loss in losses.items():
            trial.report(-loss, epoch)
    if state == TrialState.PRUNED and objectives > 1:
        state = TrialState.FAILED
    told = {
        TrialState.COMPLETE: optuna.trial.TrialState.COMPLETE,
        TrialState.PRUNED: optuna.trial.TrialState.PRUNED,
        TrialState.FAILED: optuna.trial.TrialState.FAIL,
    }[state]
    is_complete = state == TrialState.COMPLETE
    trial.study.tell(trial, values if is_complete else None, state=told)
    return TrialRecord(trial.number, state, params, values if is_complete else None, losses)


def test_trials_keep_their_numbers_and_running_ones_their_parameters():
    config = make_study()
    records = [
        TrialRecord(0, TrialState.WAITING),
        TrialRecord(1, TrialState.CANCELLED, {"training.lr": 1e-3, "training.weight_decay": 1e-3}),
        TrialRecord(2, TrialState.RUNNING, {"training.lr": 0.1, "training.weight_decay": 1e-6}),
    ]
    study = rebuild(config, "mine", records)
    assert [trial.state.name for trial in study.trials] == ["WAITING", "FAIL", "RUNNING"]
    assert [dict(trial.params) for trial in study.trials] == [{}, {}, dict(records[2].params)]
    assert study.ask().number == 0


def test_a_grid_gives_every_point_once_and_those_of_cancelled_trials_again():
    config = make_study(sampler={"kind": "grid", "points": 2})
    records: list[TrialRecord] = []
    for number in range(6):
        params = ask(config, "mine", number, [*records, TrialRecord(number, TrialState.WAITING)])
        state = {1: TrialState.CANCELLED, 2: TrialState.FAILED}.get(number, TrialState.RUNNING)
        records.append(TrialRecord(number, state, params))
    tried = [str(record.params) for record in records if record.is_tried]
    assert len(set(tried[:4])) == 4
    assert records[1].params in [record.params for record in records[2:5]]


def complete(places: list[tuple[float, float]], values: list[float]) -> list[TrialRecord]:
    """Trials of two keys, given as shares of their ranges."""
    space = make_study(
        space={"training.lr": LR | {"log": False}, "training.weight_decay": LR | {"log": False}}
    )
    return [
        TrialRecord(
            number,
            TrialState.COMPLETE,
            {
                key: 1e-4 + share * (1e-1 - 1e-4)
                for key, share in zip(sorted(space.space), place, strict=True)
            },
            [value],
        )
        for number, (place, value) in enumerate(zip(places, values, strict=True))
    ]


FLAT = {"space": {key: LR | {"log": False} for key in ("training.lr", "training.weight_decay")}}


def test_values_without_a_variance_that_trees_can_tell_give_no_importances():
    trials = complete([(0.5, 0.5)] * 8, [float(number % 2) for number in range(8)])
    assert importances(make_study(**FLAT), trials) == {}


def test_only_the_newest_trials_count_and_each_objective_is_announced(monkeypatch):
    monkeypatch.setattr(module, "MOST_TRIALS", 20)
    places = [(number / 20, number * 7 % 20 / 20) for number in range(20)]
    trials = complete(places * 2, [b for _, b in places] + [a for a, _ in places])
    steps: list[int] = []
    found = importances(make_study(**FLAT), trials, lambda: steps.append(1))
    assert found["roc_auc_macro"]["training.lr"] == pytest.approx(1, abs=0.1)
    assert len(steps) == 1
