"""Pictures of studies of every shape."""

import matplotlib
import numpy as np
import pytest

from core.config.tuning import TuningConfig
from core.ml.tuning import importance_bars, parallel_coordinates
from core.ml.tuning.plots import draw
from core.ml.tuning.study import TrialRecord
from core.states import TrialState
from tests.unit.ml.tuning.studies import make_study

SPACE = {
    "model.kind": {"kind": "categorical", "choices": ["crnn", "transfer"]},
    "model.hidden_size": {"kind": "int", "low": 8, "high": 64, "log": True, "when": {"model.kind": "crnn"}},
    "training.lr": {"kind": "float", "low": 1e-4, "high": 1e-1, "log": True},
}
TRIALS = [
    ({"model.kind": "crnn", "model.hidden_size": 8, "training.lr": 1e-3}, [0.8, 100.0]),
    ({"model.kind": "transfer", "training.lr": 1e-2}, [0.9, 300.0]),
    ({"model.kind": "transfer", "training.lr": 1e-1}, [0.7, 300.0]),
]
USUAL = {"history", "parallel_coordinates", "slice"}


def study_of(objectives: int) -> TuningConfig:
    both = [{"metric": "roc_auc_macro"}, {"metric": "parameters"}]
    return make_study(space=SPACE, objectives=both[:objectives])


def records(count: int, objectives: int) -> list[TrialRecord]:
    """Some complete trials among others."""
    complete = [
        TrialRecord(number, TrialState.COMPLETE, params, values[:objectives])
        for number, (params, values) in enumerate(TRIALS[:count])
    ]
    failed = TrialRecord(count, TrialState.FAILED, TRIALS[0][0])
    return [*complete, failed, TrialRecord(count + 1, TrialState.WAITING)]


@pytest.mark.parametrize(
    ("objectives", "trials", "importances", "names"),
    [
        (2, 3, {}, USUAL | {"pareto_front"}),
        (2, 3, {"parameters": {"training.lr": 1.0}}, USUAL | {"pareto_front", "importances"}),
        (1, 1, {"roc_auc_macro": {"training.lr": 1.0}}, USUAL | {"importances"}),
        (1, 3, {}, USUAL),
        (2, 0, {}, set()),
    ],
)
def test_every_picture_that_there_is_enough_for_is_drawn(objectives, trials, importances, names):
    style = dict(matplotlib.rcParams)
    pictures = draw(study_of(objectives), records(trials, objectives), importances)
    assert set(pictures) == names
    assert all(content.startswith(b"\x89PNG") for content in pictures.values())
    assert dict(matplotlib.rcParams) == style
    assert matplotlib.pyplot.get_fignums() == []


def test_a_line_goes_on_past_a_parameter_that_its_trial_does_not_have():
    params = [{"a": 1, "c": "x"}, {"a": 10, "b": 2, "c": "y"}]
    figure = parallel_coordinates.draw("f1", [0.1, 0.9], params, {"a": True, "b": False, "c": False})
    lines = [line for line in figure.axes[0].lines if line.get_linestyle() == ":"]
    assert [np.asarray(line.get_xdata()).tolist() for line in lines] == [[1, 3], []]  # and that of the legend


def test_importances_are_sorted_and_those_of_few_trials_are_called_rough():
    figure = importance_bars.draw({"f1": {"a": 0.2, "b": 0.8}}, 10)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["b", "a"]
    assert "few" in figure.axes[0].get_title()
    assert "few" not in importance_bars.draw({"f1": {"a": 1.0}}, 100).axes[0].get_title()
