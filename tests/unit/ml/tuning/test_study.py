"""What the trials of a study say about its keys."""

import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.storages import InMemoryStorage

from core.config.tuning import TuningConfig
from core.ml.tuning import study as asking

KEYS = {"training.lr": (1e-4, 1e-1), "training.weight_decay": (1e-6, 1e-2)}
CONFIG = TuningConfig.model_validate(
    {
        "study_name": "mine",
        "experiment": {
            "experiment_name": "mine",
            "dataset": {"kind": "library", "library": "home"},
            "model": {"kind": "transfer"},
        },
        "space": {key: {"kind": "float", "low": low, "high": high} for key, (low, high) in KEYS.items()},
    }
)


def storage_of(trials: list[tuple[float, float, float]]) -> InMemoryStorage:
    """Trials of both keys and their value; the keys as shares of their ranges."""
    storage = InMemoryStorage()
    study = optuna.create_study(storage=storage, study_name="mine", direction="maximize")
    distributions: dict[str, BaseDistribution] = {
        key: FloatDistribution(low, high) for key, (low, high) in KEYS.items()
    }
    for *shares, value in trials:
        placed = zip(KEYS.items(), shares, strict=True)
        params = {key: low + share * (high - low) for (key, (low, high)), share in placed}
        study.add_trial(optuna.create_trial(params=params, distributions=distributions, value=value))
    return storage


def test_values_without_a_variance_that_trees_can_tell_give_no_importances():
    storage = storage_of([(0.5, 0.5, float(number % 2)) for number in range(8)])
    assert asking.importances(storage, "mine", CONFIG) == {}


def test_only_the_newest_trials_count_and_each_objective_is_announced(monkeypatch):
    monkeypatch.setattr(asking, "MOST_TRIALS", 20)
    places = [(number / 20, number * 7 % 20 / 20) for number in range(20)]
    storage = storage_of([(a, b, b) for a, b in places] + [(a, b, a) for a, b in places])
    steps: list[int] = []
    found = asking.importances(storage, "mine", CONFIG, lambda: steps.append(1))
    assert found["roc_auc_macro"]["training.lr"] == pytest.approx(1, abs=0.1)
    assert len(steps) == 1
