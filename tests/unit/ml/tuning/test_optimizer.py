"""The optimizer, on functions whose best point is known and on a real training."""

import itertools
import math
from typing import Any

import pytest

from core.config.experiment import load_experiment, parse_experiment
from core.config.search_space import explicit_fields, replaced
from core.config.tuning import (
    Choices,
    FloatRange,
    GPConfig,
    GridConfig,
    IntRange,
    RandomConfig,
    load_tuning,
)
from core.errors import TrainingDiverged
from core.ml.datasets.examples import Dataset
from core.ml.datasets.folder import read
from core.ml.training.reports import EpochReport
from core.ml.training.train import train
from core.ml.tuning.objective import measure
from core.ml.tuning.optimizer import BayesianOptimizer
from core.ml.tuning.space import parse_space
from core.pretrained.smoke_data import write_clips
from core.settings import PROJECT

SPACE: dict[str, Any] = {
    "learning_rate": (1e-5, 1e-2),
    "batch_size": [16, 32, 64, 128],
    "base_channels": [32, 64, 128],
}


def quality(params: dict[str, Any]) -> float:
    """Best, with 0, at a learning rate of 1e-3, batches of 32 and 64 channels."""
    return -(
        (math.log10(params["learning_rate"]) + 3) ** 2
        + abs(math.log2(params["batch_size"] / 32))
        + abs(math.log2(params["base_channels"] / 64))
    )


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("clips")
    write_clips(root)
    return read(root)


def test_a_pair_is_a_range_and_a_list_a_choice():
    space = parse_space(SPACE | {"layers": (1, 4), "dropout": (0.0, 0.5)})
    assert space["learning_rate"] == FloatRange(low=1e-5, high=1e-2, log=True)
    assert space["batch_size"] == Choices(choices=(16, 32, 64, 128))
    assert space["layers"] == IntRange(low=1, high=4)
    assert space["dropout"] == FloatRange(low=0.0, high=0.5)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (("a", "b"), "a range is a pair"),
        ((False, True), "a range is a pair"),
        ((1, 2, 3), "a range is a pair"),
        ("abc", "'abc' is neither"),
        (5, "5 is neither"),
        (None, "None is neither"),
        ((2, 1), "low must be less than high"),
        ((0.0, math.inf), "high"),
        ([], "choices"),
        ([1, 1], "choices must differ"),
    ],
)
def test_what_is_neither_a_range_nor_choices_is_refused_with_its_key(value, sentence):
    with pytest.raises(ValueError, match=f"^x: .*{sentence}"):
        parse_space({"x": value})


def test_the_best_parameters_of_any_function_are_found():
    optimizer = BayesianOptimizer(param_space=SPACE, objective=quality)
    best = optimizer.optimize(n_trials=50)
    assert (best["batch_size"], best["base_channels"]) == (32, 64)
    assert best["learning_rate"] == pytest.approx(1e-3, rel=0.6)
    assert optimizer.best_value == pytest.approx(quality(best))
    assert len(optimizer.study.trials) == 50


@pytest.mark.parametrize("sampler", [RandomConfig(), GPConfig(startup=4), GridConfig(points=4)])
def test_every_sampler_searches_the_space_and_gives_the_same_again(sampler):
    runs = []
    for _ in range(2):
        optimizer = BayesianOptimizer(SPACE, sampler=sampler, seed=3)
        optimizer.optimize(6, quality)
        runs.append([trial.params for trial in optimizer.study.trials])
    assert runs[0] == runs[1]
    assert len({str(params) for params in runs[0]}) == 6


def test_a_grid_ends_with_its_last_point():
    optimizer = BayesianOptimizer(
        {"x": [1, 2, 3], "y": [1, 2]}, lambda p: p["x"] * p["y"], sampler=GridConfig()
    )
    assert optimizer.optimize(50) == {"x": 3, "y": 2}
    assert sorted((t.params["x"], t.params["y"]) for t in optimizer.study.trials) == [
        (x, y) for x in (1, 2, 3) for y in (1, 2)
    ]


def test_a_failed_trial_is_left_behind():
    def fragile(params: dict[str, Any]) -> float:
        if params["x"] > 0.5:
            raise TrainingDiverged
        return float(params["x"])

    optimizer = BayesianOptimizer({"x": (0.0, 1.0)}, fragile, direction="minimize")
    assert optimizer.optimize(12)["x"] < 0.5
    assert {trial.state.name for trial in optimizer.study.trials} == {"COMPLETE", "FAIL"}


def test_without_an_objective_there_is_nothing_to_do():
    with pytest.raises(ValueError, match="give an objective"):
        BayesianOptimizer(SPACE).optimize()


@pytest.mark.slow
def test_a_pruned_search_saves_epochs(clips, tmp_path):
    """The study of `smoke.yaml`; without its pruner, each trial trains for all epochs."""
    study = load_tuning(PROJECT / "configs" / "tuning" / "smoke.yaml")
    config = load_experiment(PROJECT / "configs" / "smoke.yaml")
    base = explicit_fields(config)
    numbers, epochs = itertools.count(), itertools.count()

    def objective(params: dict[str, Any], report: Any) -> float:
        def on_epoch(epoch: EpochReport) -> None:
            next(epochs)
            report(epoch.epoch, -(epoch.validation_loss or 0.0))

        result = train(
            parse_experiment(replaced(base, params)),
            clips,
            on_epoch,
            folder=tmp_path / str(next(numbers)),
            cache_dir=tmp_path / "cache",
            models_dir=tmp_path / "models",
            pictures=False,
        )
        return measure(result, ["roc_auc_macro"])[0]

    optimizer = BayesianOptimizer(
        study.space, objective, sampler=study.sampler, pruner=study.pruner, seed=study.seed
    )
    optimizer.optimize(study.n_trials)
    assert {trial.state.name for trial in optimizer.study.trials} == {"COMPLETE", "PRUNED"}
    assert next(epochs) < study.n_trials * config.training.epochs
