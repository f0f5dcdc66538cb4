import pytest

from core.config.dataset import FolderDataset
from core.config.experiment import load_experiment
from core.ml.datasets.folder import read
from core.ml.training.train import train
from core.settings import PROJECT, get_settings


@pytest.mark.slow
def test_a_training_on_the_sample_library_learns_its_labels(sample_library, default_model, tmp_path):
    config = load_experiment(PROJECT / "configs/experiments/samples.yaml")
    assert isinstance(config.dataset, FolderDataset)
    dataset = read(sample_library, config.dataset.labels_from, config.dataset.vocabulary)
    result = train(
        config,
        dataset,
        lambda report: None,
        folder=tmp_path / "samples-1",
        cache_dir=tmp_path / "cache",
        models_dir=get_settings().models_dir,
    )
    assert len(result.labels) == 7
    assert result.dropped == {}
    areas = {one["label"]: one["roc_auc"] for one in result.results["per_label"]}
    assert areas["acoustic"] > 0.95
    assert areas["electronic"] > 0.95
    intervals = result.results["intervals"]
    assert intervals["roc_auc_macro"]["low"] < intervals["roc_auc_macro"]["value"]
