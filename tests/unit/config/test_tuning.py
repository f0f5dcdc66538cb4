"""Studies are checked to the last key: each mistake is refused with the field's name."""

import math
from pathlib import Path
from typing import Any

import pytest

from core.config.experiment import load_experiment, parse_experiment
from core.config.search_space import (
    check_space,
    explicit_fields,
    grid_points,
    grid_size,
    ordered_keys,
    pareto_front,
    planned_trials,
    replaced,
    trial_experiment,
)
from core.config.tuning import load_tuning, parse_tuning
from core.errors import InvalidConfig

BASE = explicit_fields(
    parse_experiment(
        {
            "experiment_name": "base",
            "dataset": {"kind": "folder", "root": "music"},
            "model": {"kind": "crnn", "hidden_size": 32},
            "training": {"epochs": 12, "lr": 0.01},
        }
    )
)
LR: dict[str, Any] = {"kind": "float", "low": 1e-4, "high": 1e-1, "log": True}
KINDS = {"kind": "categorical", "choices": ["crnn", "transfer"]}
HIDDEN = {"kind": "int", "low": 8, "high": 64, "when": {"model.kind": "crnn"}}
MANY = ("training.batch_size", "training.epochs", "training.patience")
GRID = {"kind": "grid"}
LOSSES = {"kind": "categorical", "choices": ["bce", "focal"]}


def check(space: dict[str, Any], base: dict[str, Any] = BASE, **more: Any) -> None:
    check_space(parse_tuning({"study_name": "s", "experiment": base, "space": space, **more}))


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        ({}, "space: "),
        ({"training.lr": LR | {"low": 0.1}}, "space.training.lr: low must be less than high"),
        ({"training.lr": LR | {"low": 1}}, "space.training.lr: low must be less than high"),
        ({"training.lr": LR | {"low": 0}}, "space.training.lr: low must be greater than 0"),
        ({"training.lr": LR | {"high": float("inf")}}, "space.training.lr.high"),
        ({"training.lr": {"kind": "float", "lo": 1, "high": 2}}, "did you mean 'low'"),
        ({"training.lr": {"kind": "real"}}, "space.training.lr: "),
        ({"training.lr": LR | {"high": -1, "low": -2, "log": False}}, "space.training.lr: -2.0: training.lr"),
        ({"training.lrr": LR}, "space.training.lrr: .* did you mean 'training.lr'"),
        ({"training.learning_rate": LR}, "did you mean 'training.lr'"),
        ({"batch_size": LR}, "did you mean 'training.batch_size'"),
        ({"training": LR}, "space.training: Unknown key"),
        (
            {"training.batch_size": {"kind": "categorical", "choices": []}},
            "space.training.batch_size.choices",
        ),
        ({"training.batch_size": {"kind": "categorical", "choices": [16, "32"]}}, "batch_size: '32'"),
        ({"training.batch_size": {"kind": "categorical", "choices": [16, 2.5]}}, "batch_size: 2.5"),
        ({"training.batch_size": {"kind": "categorical", "choices": [16, 16]}}, "choices must differ"),
        ({"training.batch_size": {"kind": "int", "low": 1, "high": 8, "step": 0}}, "batch_size.step"),
        ({"training.optimizer": {"kind": "categorical", "choices": ["sgd", "adamm"]}}, "optimizer: 'adamm'"),
        ({"model.kind": {"kind": "categorical", "choices": ["crnn", "nope"]}}, "space.model.kind: 'nope'"),
        ({"model.kind": KINDS, "model.hidden_size": HIDDEN | {"when": {"model.knd": 1}}}, "not in the space"),
        ({"model.kind": KINDS, "model.hidden_size": HIDDEN | {"when": {"model.kind": "x"}}}, "no choice 'x'"),
        ({"model.kind": KINDS, "model.base_channels": {"kind": "int", "low": 1, "high": 2}}, "'transfer'"),
        ({"model.hidden_size": HIDDEN | {"when": {"model.hidden_size": 8}}}, "depends on itself"),
        ({"features.n_fft": {"kind": "int", "low": 256, "high": 1024}}, "space.features.n_fft: 257: .* even"),
        (
            {
                "training.loss.gamma": {
                    "kind": "float",
                    "low": 0.5,
                    "high": 4,
                    "when": {name: list(range(1, 101)) for name in MANY},
                }
            }
            | {name: {"kind": "categorical", "choices": list(range(1, 101))} for name in MANY},
            "space.training.loss.gamma: it can be combined with too many",
        ),
        ({"dataset.root": {"kind": "categorical", "choices": ["/etc"]}}, "space.dataset.root: .* measured"),
        ({"experiment_name": {"kind": "categorical", "choices": ["x"]}}, "space.experiment_name"),
    ],
)
def test_a_wrong_space_is_refused_with_the_name_of_the_field(space, sentence):
    with pytest.raises(InvalidConfig, match=sentence):
        check(space)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"objectives": []}, "objectives"),
        ({"objectives": [{"metric": "roc_auc"}]}, r"objectives.0.metric"),
        ({"objectives": [{"metric": "roc_auc_macro", "direction": "minimize"}]}, "roc_auc_macro is maximize"),
        (
            {
                "objectives": [{"metric": "roc_auc_macro"}, {"metric": "parameters"}],
                "pruner": {"kind": "median"},
            },
            "pruner: with several objectives",
        ),
        ({"objectives": [{"metric": "roc_auc_macro"}, {"metric": "parameters"}], "target": 1}, "target"),
        ({"pruner": {"kind": "median"}, "experiment": BASE | {"split": {"folds": 3}}}, "pruner: .*folds"),
        (
            {"pruner": {"kind": "median"}, "experiment": BASE | {"model": {"kind": "random_forest"}}},
            "pruner: random_forest",
        ),
        (
            {"objectives": [{"metric": "validation_loss"}], "space": {"training.loss.kind": LOSSES}},
            "objectives",
        ),
        ({"pruner": {"kind": "hyperband"}, "space": {"training.loss.kind": LOSSES}}, "pruner: the losses"),
        (
            {
                "pruner": {"kind": "median"},
                "space": {"training.max_class_weight": {"kind": "float", "low": 1, "high": 9}},
            },
            "pruner: the losses",
        ),
        ({"sampler": {"kind": "grid"}, "space": {"model.kind": KINDS, "model.hidden_size": HIDDEN}}, "grid"),
        ({"trial_epochs": 13}, "trial_epochs: the experiment has only 12 epochs"),
        (
            {"trial_epochs": 3, "space": {"training.epochs": {"kind": "int", "low": 1, "high": 9}}},
            "trial_epochs: training.epochs is in the space",
        ),
        ({"experiment": BASE | {"model": {"kind": "random_forest"}}}, "space.training.lr: it has no effect"),
        (
            {
                "experiment": BASE | {"model": {"kind": "transfer"}},
                "space": {"augmentation.gain_db": {"kind": "float", "low": 0, "high": 6}},
            },
            "space.augmentation.gain_db: it has no effect with model.kind transfer",
        ),
        ({"n_trials": 0}, "n_trials"),
        ({"max_parallel": 0}, "max_parallel"),
        ({"n_trial": 3}, "did you mean 'n_trials'"),
        ({"study_name": "A b"}, "study_name"),
    ],
)
def test_what_cannot_be_searched_is_refused(more, sentence):
    content = {"space": {"training.lr": LR}, "experiment": BASE} | more
    space, base = content.pop("space"), content.pop("experiment")
    with pytest.raises(InvalidConfig, match=sentence):
        check(space, base, **content)


@pytest.mark.parametrize(
    "space",
    [
        {"training.batch_size": {"kind": "int", "low": 1, "high": 10**10, "step": 2}},
        {"training.lr": {"kind": "float", "low": 1e-5, "high": 1e-2, "step": 1e-12}},
        {"training.lr": {"kind": "float", "low": 1e-5, "high": 1e-2, "step": 5e-324}},
        {
            f"training.{name}": {"kind": "float", "low": 0.1, "high": 0.2}
            for name in ("lr", "warm_up", "weight_decay", "clip_norm", "ema_decay", "label_smoothing")
        },
    ],
)
def test_a_grid_of_too_many_points_is_counted_and_not_built(space):
    with pytest.raises(InvalidConfig, match="sampler: a grid may have at most 10000 points"):
        check(space, sampler={"kind": "grid"})


def test_the_points_of_steps_are_counted_as_they_are_spread():
    dimensions = {
        "training.lr": {"kind": "float", "low": 0.1, "high": 0.7, "step": 0.1},
        "training.batch_size": {"kind": "int", "low": 3, "high": 20, "step": 4},
        "training.epochs": {"kind": "int", "low": 1, "high": 3},
    }
    config = parse_tuning({"study_name": "s", "experiment": BASE, "space": dimensions, "sampler": GRID})
    points = grid_points(config.sampler, config.space)  # type: ignore[arg-type]
    assert {key: len(values) for key, values in points.items()} == {
        "training.lr": 7,
        "training.batch_size": 5,
        "training.epochs": 3,
    }
    assert points["training.lr"][-1] == 0.7
    assert grid_size(config.sampler, config.space) == 7 * 5 * 3  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"time_budget_s": math.inf}, "time_budget_s"),
        ({"space": {"training.lr": {"kind": "categorical", "choices": [0.1, math.inf]}}}, "lr.choices.1"),
        (
            {"space": {"training.optimizer": {"kind": "categorical", "choices": ["a\0"]}}},
            "optimizer.choices.0",
        ),
        ({"space": {"training.epochs": {"kind": "categorical", "choices": [10**400]}}}, "epochs.choices.0"),
        ({"space": {"training.epochs": {"kind": "int", "low": 1, "high": 10**400}}}, "epochs.high"),
        ({"space": {"training.lr": {"kind": "float", "low": 1, "high": 10**400}}}, "lr.high"),
        ({"space": {"training.epochs": {"kind": "int", "low": 1, "high": 8, "step": 10**400}}}, "epochs"),
        ({"space": {"training.epochs": {"kind": "int", "low": 1, "high": 8, "step": 8}}}, "epochs: step"),
        ({"space": {"training.lr": {"kind": "float", "low": 0.1, "high": 0.2, "step": 0.3}}}, "lr: step"),
        ({"space": {"training.lr": LR | {"when": {"model.kind": ["crnn"] * 1001}}}}, "lr.when.model.kind"),
    ],
)
def test_what_no_number_or_text_can_be_is_refused_by_name(more, field):
    with pytest.raises(InvalidConfig, match=field):
        parse_tuning({"study_name": "s", "experiment": BASE, "space": {"training.lr": LR}} | more)


def test_a_key_that_one_of_the_kinds_looks_at_is_searched():
    forests = {"kind": "categorical", "choices": ["crnn", "random_forest"]}
    check({"model.kind": forests, "training.lr": LR})
    check({"model.kind": forests, "training.lr": LR | {"when": {"model.kind": "crnn"}}})
    with pytest.raises(InvalidConfig, match=r"lr: it has no effect with .* random_forest"):
        check({"model.kind": forests, "training.lr": LR | {"when": {"model.kind": "random_forest"}}})
    check({"features.n_fft": {"kind": "int", "low": 256, "high": 1024, "step": 2}})


def test_conditional_keys_follow_what_they_depend_on():
    space = {"a.first": HIDDEN, "model.kind": KINDS, "training.lr": LR}
    parsed = parse_tuning({"study_name": "s", "experiment": BASE, "space": space}).space
    assert ordered_keys(parsed) == ["model.kind", "training.lr", "a.first"]
    check({"model.kind": KINDS, "model.hidden_size": HIDDEN, "training.lr": LR})
    gamma = {"kind": "float", "low": 0.5, "high": 4, "when": {"training.loss.kind": ["focal"]}}
    check({"training.loss.kind": LOSSES, "training.loss.gamma": gamma})


def test_another_kind_keeps_only_what_it_has():
    changed = replaced(BASE, {"model.kind": "transfer", "model.dropout": 0.1, "training.lr": 0.5})
    assert changed["model"] == {"kind": "transfer", "hidden_size": 32, "dropout": 0.1}
    assert changed["training"] == {"epochs": 12, "lr": 0.5}
    assert BASE["model"] == {"kind": "crnn", "hidden_size": 32}


def test_a_trial_trains_trial_epochs():
    config = parse_tuning(
        {"study_name": "s", "experiment": BASE, "space": {"training.lr": LR}, "trial_epochs": 3}
    )
    experiment = trial_experiment(config, {"training.lr": 0.02})
    assert (experiment.training.epochs, experiment.training.lr, experiment.evaluation.bootstrap) == (
        3,
        0.02,
        0,
    )


def test_a_grid_has_the_ends_of_every_range_and_ends_the_study():
    space = {"training.lr": LR, "training.batch_size": {"kind": "categorical", "choices": [8, 16]}}
    config = parse_tuning(
        {
            "study_name": "s",
            "experiment": BASE,
            "space": space,
            "sampler": {"kind": "grid", "points": 4},
            "n_trials": 100,
        }
    )
    points = grid_points(config.sampler, config.space)  # type: ignore[arg-type]
    assert points["training.lr"] == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])
    assert points["training.batch_size"] == [8, 16]
    assert grid_size(config.sampler, config.space) == planned_trials(config) == 8  # type: ignore[arg-type]


def test_the_pareto_front_holds_what_nothing_beats():
    values = [(0.9, 10.0), (0.8, 5.0), (0.8, 6.0), (0.7, 20.0), (0.9, 10.0)]
    assert pareto_front(values, [True, False]) == [0, 1, 4]


@pytest.mark.parametrize("file", sorted(Path("configs/tuning").glob("*.yaml"), key=str))
def test_every_study_that_comes_along_can_be_asked_for(file):
    config = load_tuning(file)
    names = {
        path.stem: path for path in (*Path("configs/experiments").glob("*.yaml"), Path("configs/smoke.yaml"))
    }
    base = config.experiment
    if isinstance(base, str):
        base = explicit_fields(load_experiment(names[base]))
    check_space(config.model_copy(update={"experiment": base}))


def test_what_a_logistic_head_does_not_use_is_not_searched_for_it():
    base = explicit_fields(
        parse_experiment(
            {
                "experiment_name": "base",
                "dataset": {"kind": "folder", "root": "music"},
                "model": {"kind": "transfer"},
            }
        )
    )
    with pytest.raises(InvalidConfig, match=r"training\.lr: it has no effect with model\.head logistic"):
        check({"training.lr": LR}, base)
    heads = {"kind": "categorical", "choices": ["logistic", "linear"]}
    check({"model.head": heads, "training.lr": LR | {"when": {"model.head": "linear"}}}, base)
    with pytest.raises(InvalidConfig, match=r"model\.head logistic"):
        check({"model.head": heads, "training.lr": LR | {"when": {"model.head": "logistic"}}}, base)
    check({"training.lr": LR}, base | {"model": {"kind": "transfer", "head": "mlp"}})


def test_trials_that_differ_in_the_seed_are_measured_on_one_split():
    seeds = {"seed": {"kind": "int", "low": 0, "high": 9}}
    config = parse_tuning({"study_name": "s", "experiment": BASE | {"seed": 4}, "space": seeds})
    trials = [trial_experiment(config, {"seed": seed}) for seed in (1, 2)]
    assert [trial.seed for trial in trials] == [1, 2]
    assert {trial.seeded_split.seed for trial in trials} == {4}


@pytest.mark.parametrize(
    ("more", "split", "folds"),
    [
        ({"objectives": [{"metric": "validation_loss"}]}, {}, 1),
        ({"pruner": {"kind": "median"}}, {}, 1),
        ({}, {}, None),
        ({"pruner": {"kind": "median"}}, {"test": 0.3}, None),
    ],
)
def test_a_small_dataset_is_split_once_where_validation_losses_are_compared(more, split, folds):
    base = BASE | {"split": split}
    config = parse_tuning({"study_name": "s", "experiment": base, "space": {"training.lr": LR}, **more})
    assert trial_experiment(config, {"training.lr": 0.01}).split.folds == folds
