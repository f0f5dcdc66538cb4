"""Pictures of studies of every shape."""

import pytest

from core.config.tuning import Choices, Dimension, FloatRange, IntRange, ObjectiveConfig
from core.ml.tuning.plots import Tried, draw

SPACE: dict[str, Dimension] = {
    "model.kind": Choices(choices=("crnn", "transfer")),
    "model.hidden_size": IntRange(low=8, high=64, log=True, when={"model.kind": "crnn"}),
    "training.lr": FloatRange(low=1e-4, high=1e-1, log=True),
}
TRIALS = [
    Tried(0, {"model.kind": "crnn", "model.hidden_size": 8, "training.lr": 1e-3}, [0.8, 100.0]),
    Tried(2, {"model.kind": "transfer", "training.lr": 1e-2}, [0.9, 300.0]),
    Tried(3, {"model.kind": "transfer", "training.lr": 1e-1}, [0.7, 300.0]),
]
BOTH = (ObjectiveConfig(), ObjectiveConfig(metric="parameters"))


@pytest.mark.parametrize(
    ("objectives", "trials", "importances", "names"),
    [
        (BOTH, TRIALS, {}, {"history", "parallel_coordinates", "slice", "pareto_front"}),
        (
            BOTH[:1],
            TRIALS[:1],
            {"roc_auc_macro": {"training.lr": 1.0}},
            {"history", "parallel_coordinates", "slice", "importances"},
        ),
        (BOTH, [], {}, set()),
    ],
)
def test_every_picture_that_there_is_enough_for_is_drawn(objectives, trials, importances, names):
    pictures = draw(objectives, SPACE, trials, importances)
    assert set(pictures) == names
    assert all(content.startswith(b"\x89PNG") for content in pictures.values())
