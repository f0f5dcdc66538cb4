"""The values of trials, measured on real small trainings."""

from pathlib import Path

import pytest

from core.errors import NotMeasurable
from core.ml.datasets.examples import Dataset
from core.ml.datasets.folder import read
from core.ml.models import artifact
from core.ml.training.reports import TrainingResult
from core.ml.training.train import train
from core.ml.tuning.objective import measure
from core.pretrained.smoke_data import write_clips
from tests.unit.ml.training.experiments import make_config


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("clips")
    write_clips(root, clips=6, duration_s=1)
    return read(root)


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def train_once(clips: Dataset, cache_dir: Path, folder: Path, **changes: object) -> TrainingResult:
    config = make_config(**changes)
    return train(
        config, clips, lambda _: None, folder=folder, cache_dir=cache_dir, models_dir=folder, pictures=False
    )


def test_quality_is_that_of_the_kept_weights_and_cost_that_of_the_stored_model(clips, cache_dir, tmp_path):
    metrics = ["roc_auc_macro", "validation_loss", "parameters", "latency_ms"]
    result = train_once(clips, cache_dir, tmp_path / "model")
    values = measure(result, metrics)
    best = [report for report in result.history if report.is_best][-1]
    stored = artifact.load(tmp_path / "model").model
    assert 0 <= values[0] <= 1
    assert values[1] == best.validation_loss
    assert values[2] == sum(parameter.numel() for parameter in stored.parameters())
    assert 0 < values[3] < 1000
    again = train_once(clips, cache_dir, tmp_path / "again")
    assert measure(again, metrics[:2]) == pytest.approx(values[:2], abs=1e-6)


def test_folds_and_forests_are_measured_out_of_fold_and_on_validation_tracks(clips, cache_dir, tmp_path):
    forest = {"kind": "random_forest", "patch_frames": 32, "bands": 12, "trees": 5}
    for name, split in (("folds", {"folds": 2}), ("split", {"validation": 0.2, "test": 0.2})):
        result = train_once(clips, cache_dir, tmp_path / name, model=forest, split=split)
        (value,) = measure(result, ["roc_auc_macro"])
        assert 0.5 < value <= 1
        if name == "folds":
            assert value == pytest.approx(result.metrics["roc_auc_macro"])
        with pytest.raises(NotMeasurable, match="validation_loss cannot be computed"):
            measure(result, ["validation_loss"])
