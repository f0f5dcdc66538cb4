import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier

from core.config.models import FeatureConfig, RandomForestConfig
from core.ml.models.random_forest import EPSILON, RandomForest, pool_over_time
from core.ml.training.forest import copy_trees


def test_pooled_features_of_known_numbers():
    patch = torch.tensor([[0.0, 2.0, 4.0, 6.0], [1.0, 1.0, 1.0, 1.0]])[None, None]
    pooled = pool_over_time(patch, bands=2)
    assert pooled[0].tolist() == pytest.approx([3.0, 1.0, 5**0.5, 0.0, 2.0, 0.0])


def test_bands_are_averaged_down_to_the_number_that_is_asked_for():
    patch = torch.tensor([[1.0, 1.0], [3.0, 3.0], [5.0, 5.0], [7.0, 7.0]])[None, None]
    assert pool_over_time(patch, bands=2)[0, :2].tolist() == [2.0, 6.0]


def test_the_tensors_answer_as_scikit_learn_does():
    random = np.random.default_rng(0)
    config = RandomForestConfig(bands=4, trees=17, max_leaves=12)
    inputs = random.normal(size=(200, 12)).astype(np.float32)
    targets = np.stack([inputs[:, 0] > 0, inputs[:, 1] + inputs[:, 2] > 0.5, inputs[:, 5] ** 2 > 1], axis=1)
    forest = RandomForestClassifier(17, max_leaf_nodes=12, random_state=0).fit(inputs, targets.astype(float))
    model = RandomForest(config, FeatureConfig(), 3)
    copy_trees(forest, model)
    fresh = random.normal(size=(500, 12)).astype(np.float32)
    expected = np.stack([share[:, 1] for share in forest.predict_proba(fresh)], axis=1)
    scores = model.classify(torch.from_numpy(fresh)).sigmoid().numpy()
    assert scores == pytest.approx(expected.clip(EPSILON, 1 - EPSILON), abs=1e-6)


def test_a_label_of_every_or_of_no_track_is_certain():
    """So it may be in a fold."""
    inputs = torch.rand(40, 12)
    targets = np.stack([np.ones(40), (inputs[:, 0] > 0.5).float(), np.zeros(40)], axis=1)
    forest = RandomForestClassifier(5, max_leaf_nodes=8, random_state=0).fit(inputs.numpy(), targets)
    config = RandomForestConfig(bands=4, trees=5, max_leaves=8)
    model = RandomForest(config, FeatureConfig(n_mels=24), 3)
    copy_trees(forest, model)
    scores = model.classify(inputs).sigmoid()
    assert scores[:, 0].tolist() == pytest.approx([1 - EPSILON] * 40)
    assert scores[:, 2].tolist() == pytest.approx([EPSILON] * 40)
    assert ((scores[:, 1] > 0.5).float() == torch.from_numpy(targets[:, 1])).float().mean() > 0.9


def test_a_forest_that_has_not_grown_says_a_half():
    model = RandomForest(RandomForestConfig(bands=4, trees=2, max_leaves=4), FeatureConfig(), 3)
    assert model.classify(torch.randn(5, 12)).sigmoid().tolist() == [[0.5] * 3] * 5
