"""Growing a forest."""

from typing import Any

import pytest
import torch

from core.config.models import RandomForestConfig
from core.ml.models.random_forest import RandomForest
from core.ml.training import forest
from core.ml.training.context import Tracks, TrainingContext
from core.ml.training.forest import _class_weights, grow_forest
from core.states import Activity
from tests.unit.ml.training.experiments import make_config, make_context, make_stage, make_tracks


def test_trees_fitted_in_several_calls_are_the_same_and_reported(tmp_path, monkeypatch):
    content = {"kind": "random_forest", "trees": 7, "max_leaves": 4, "patches_per_track": 2}
    config = make_config(model=content, training={"max_class_weight": 5})
    assert isinstance(config.model, RandomForestConfig)
    tracks = make_tracks(tmp_path / "tracks")
    notes: list[Any] = []
    grown: list[dict[str, torch.Tensor]] = []
    for at_a_time in (100, 3):
        monkeypatch.setattr(forest, "TREES_PER_CALL", at_a_time)
        notes.clear()
        run = TrainingContext(
            config, torch.device("cpu"), lambda _: None, lambda: False, lambda *each: notes.append(each)
        )
        model = RandomForest(config.model, config.features, 4)
        stage = make_stage(tmp_path, range(16))
        grown.append(grow_forest(model, config.model, tracks, stage, run)[0].state_dict())
    assert notes == [(Activity.TRAINING, done, 7) for done in (0, 3, 6)]
    assert all(torch.equal(grown[0][name], grown[1][name]) for name in grown[0])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("weight", [1, 5])
def test_a_forest_learns_a_single_label(tmp_path, weight):
    content = {"kind": "random_forest", "trees": 5, "max_leaves": 4, "patches_per_track": 2}
    config = make_config(model=content, training={"max_class_weight": weight})
    assert isinstance(config.model, RandomForestConfig)
    tracks = make_tracks(tmp_path / "tracks")
    tracks = Tracks(tracks.inputs, tracks.targets[:, :1], ("a",))
    model = RandomForest(config.model, config.features, 1)
    grown, _ = grow_forest(model, config.model, tracks, make_stage(tmp_path, range(16)), make_context(config))
    pooled, owners = forest.pool_tracks(tracks, range(16), config.model)
    given = grown.classify(pooled)[:, 0] > 0
    assert (given == (tracks.targets[owners, 0] > 0)).float().mean() > 0.9


def test_weights_of_rare_labels_are_bounded_and_differ_by_label(tmp_path):
    targets = torch.zeros(20, 3)
    targets[:2, 0] = targets[:10, 1] = 1
    assert _class_weights(targets, 1) is None
    assert _class_weights(targets, 4) == [{0: 1.0, 1: 4.0}, {0: 1.0, 1: 1.0}, {0: 1.0}]
    assert _class_weights(targets[:, :1], 4) == {0: 1.0, 1: 4.0}
    assert _class_weights(targets, 100) == [{0: 1.0, 1: 9.0}, {0: 1.0, 1: 1.0}, {0: 1.0}]
