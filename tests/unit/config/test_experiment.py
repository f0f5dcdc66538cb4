import re
from pathlib import Path
from typing import Any, get_args

import pytest

from core.config.dataset import DatasetConfig
from core.config.experiment import OVERRIDES, load_experiment, parse_experiment, unused_keys
from core.errors import InvalidConfig

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
SHIPPED = sorted([*(CONFIGS / "experiments").glob("*.yaml"), CONFIGS / "smoke.yaml"])
LEAST: dict[str, Any] = {
    "experiment_name": "least",
    "dataset": {"kind": "folder", "root": "music"},
    "model": {"kind": "audio_cnn"},
}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_configuration_is_valid(path):
    config = load_experiment(path)
    assert config.experiment_name.replace("-", "_") == path.stem


@pytest.mark.parametrize("source", get_args(get_args(DatasetConfig)[0]), ids=lambda source: source.__name__)
def test_every_source_of_labels_has_an_example_that_names_all_its_keys(source):
    kind = source.model_fields["kind"].default
    path = CONFIGS / "datasets" / f"{kind}.yaml"
    config = load_experiment(path)
    assert config.dataset.kind == kind
    missing = [name for name in source.model_fields if not re.search(rf"\b{name}\b", path.read_text())]
    assert missing == []


def test_the_named_ones_are_shipped():
    names = {path.stem for path in SHIPPED}
    expected = "baseline_8genres multilabel_50genres transfer crnn random_forest samples smoke"
    assert set(expected.split()) <= names


def test_overrides_replace_what_the_file_says_and_none_is_ignored():
    overrides = {
        "num_genres": 12,
        "epochs": 3,
        "lr": 0.5,
        "batch_size": 7,
        "experiment_name": "mine",
        "seed": None,
    }
    config = load_experiment(CONFIGS / "experiments" / "multilabel_50genres.yaml", overrides)
    assert config.labels.num_genres == 12
    assert config.labels.min_tracks == 20
    assert (config.training.epochs, config.training.lr, config.training.batch_size) == (3, 0.5, 7)
    assert config.experiment_name == "mine"
    assert config.seed == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"kind": "audio_cnn", "embedding_size": 2001}}, "model.*embedding_size.*2000"),
        ({"model": {"kind": "random_forest", "bands": 667}}, "model.*bands.*666"),
        ({"features": {"n_mels": 8}}, r"audio_cnn halves the bands four times: features.n_mels >= 16"),
        ({"model": {"kind": "crnn"}, "features": {"n_mels": 15}}, "crnn halves the bands"),
        (
            {"model": {"kind": "multilabel_audio_cnn"}, "training": {"batch_size": 1}},
            r"normalises over a batch: training.batch_size >= 2",
        ),
    ],
)
def test_what_could_not_be_trained_or_stored_is_refused_before(change, message):
    with pytest.raises(InvalidConfig, match=message):
        parse_experiment(LEAST | change)


def test_every_override_names_a_key_that_exists():
    values = {"experiment_name": "x", "num_genres": 4, "epochs": 2, "lr": 0.1, "batch_size": 2, "seed": 5}
    assert set(values) == set(OVERRIDES)
    dumped = parse_experiment(LEAST, values).model_dump()
    for name, (first, *rest) in OVERRIDES.items():
        found = dumped[first]
        for key in rest:
            found = found[key]
        assert found == values[name]


@pytest.mark.parametrize(
    ("change", "key", "nearest"),
    [
        ({"trainin": {}}, "trainin", "training"),
        ({"training": {"epoch": 3}}, "training.epoch", "epochs"),
        ({"model": {"kind": "transfer", "hed": "mlp"}}, "model.hed", "head"),
        ({"training": {"loss": {"kind": "focal", "gama": 2}}}, "training.loss.gama", "gamma"),
        ({"features": {"n_mel": 64}}, "features.n_mel", "n_mels"),
        ({"dataset": {"kind": "fma", "root": "x", "sise": "small"}}, "dataset.sise", "size"),
        ({"split": {"fold": 5}}, "split.fold", "folds"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_right_one(change, key, nearest):
    with pytest.raises(InvalidConfig) as error:
        parse_experiment(LEAST | change)
    assert repr(key) in error.value.detail
    assert f"did you mean {nearest!r}?" in error.value.detail


def test_a_key_like_no_other_is_answered_with_all_that_are_known():
    with pytest.raises(InvalidConfig, match="known are bootstrap, calibration"):
        parse_experiment(LEAST | {"evaluation": {"xyz": 1}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"training": {"lr": 0}}, r"training\.lr: .*greater than 0"),
        ({"training": {"epochs": "many"}}, r"training\.epochs: .*integer"),
        ({"model": {"kind": "cnn"}}, "model: .*'cnn'.*'audio_cnn'"),
        ({"model": {"kind": "musicnn"}}, "backbone"),
        ({"model": {"kind": "transfer"}, "augmentation": {"mixup_alpha": 0.3}}, "mixup"),
        ({"dataset": {"kind": "folder"}}, r"dataset\.root: Field required"),
        ({"experiment_name": "../up"}, "experiment_name"),
        ({"labels": {"num_genres": 1}}, "num_genres"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_key(change, message):
    with pytest.raises(InvalidConfig, match=message):
        parse_experiment(LEAST | change)


@pytest.mark.parametrize(
    ("change", "keys"),
    [
        ({"model": {"kind": "transfer"}, "augmentation": {"gain_db": 3}}, ["augmentation"]),
        ({"model": {"kind": "random_forest"}, "training": {"lr": 0.1}}, ["training.lr"]),
        ({"model": {"kind": "ensemble", "members": ["a-1"]}, "training": {"epochs": 3}}, ["training"]),
        ({"split": {"folds": 3, "test": 0.3}}, ["split.test"]),
        ({"split": {"folds": 3}, "training": {"patience": 3}}, []),
        ({"model": {"kind": "random_forest"}, "training": {"patience": 3}}, ["training.patience"]),
        ({"split": {"folds": 1, "test": 0.3}}, []),
        ({"model": {"kind": "transfer"}, "training": {"lr": 0.1}}, ["training"]),
        ({"model": {"kind": "transfer", "hidden_size": 8}}, ["model.hidden_size"]),
        ({"model": {"kind": "transfer", "head": "linear"}, "training": {"lr": 0.1}}, []),
        ({"training": {"lr": 0.1}, "augmentation": {"gain_db": 3}}, []),
    ],
)
def test_unused_keys_are_reported(change, keys):
    told = unused_keys(parse_experiment(LEAST | change))
    assert [sentence.split(" has no effect")[0] for sentence in told] == keys


def test_an_unknown_override_is_refused():
    with pytest.raises(InvalidConfig, match="'depth' cannot be overridden"):
        parse_experiment(LEAST, {"depth": 3})


@pytest.mark.parametrize(
    ("content", "message"), [("a: [", "not YAML"), ("- 1", "must hold keys"), ("", "must hold keys")]
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path, content, message):
    path = tmp_path / "config.yaml"
    path.write_text(content)
    with pytest.raises(InvalidConfig, match=message):
        load_experiment(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InvalidConfig, match=r"no file .*nowhere\.yaml"):
        load_experiment(tmp_path / "nowhere.yaml")


def test_configurations_do_not_change():
    config = parse_experiment(LEAST)
    with pytest.raises(ValueError, match="frozen"):
        setattr(config.training, "epochs", 5)  # noqa: B010


def test_the_seed_moves_the_split_unless_that_has_its_own():
    assert parse_experiment(LEAST | {"seed": 7}).seeded_split.seed == 7
    assert parse_experiment(LEAST | {"seed": 7, "split": {"seed": 0}}).seeded_split.seed == 0
