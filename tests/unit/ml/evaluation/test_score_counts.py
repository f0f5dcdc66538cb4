"""The counts tell what every threshold decides, and the bins how far scores hold."""

import json

import numpy as np
import pytest

from core.ml.evaluation.calibration import calibration_error
from core.ml.evaluation.score_counts import STEPS, count_scores

RANDOM = np.random.default_rng(3)
SCORES = RANDOM.integers(0, STEPS + 1, (200, 3)) / STEPS  # exactly on the steps, both ends included
TRUTH = RANDOM.uniform(size=SCORES.shape) < SCORES
LABELS = ("a", "b", "c")


def test_every_threshold_decides_as_the_scores_do():
    found = count_scores(TRUTH, SCORES, LABELS, (), exclusive=False)
    for column, label in enumerate(found["labels"]):
        for step in (0, 1, 290, 500, 999, 1000):
            above = [row for row in label["counts"] if row[0] >= step]
            decided = SCORES[:, column] >= step / STEPS
            assert sum(row[2] for row in above) == (decided & TRUTH[:, column]).sum()
            assert sum(row[1] for row in above) == (decided & ~TRUTH[:, column]).sum()


def test_the_errors_are_those_of_the_results():
    found = json.loads(json.dumps(count_scores(TRUTH, SCORES, LABELS, (), exclusive=False)))
    errors = [label["calibration_error"] for label in found["labels"]]
    assert errors == pytest.approx(calibration_error(TRUTH, SCORES).tolist())
    assert sum(number for number, _, _ in found["bins"]) == 600
    assert found["bins_of"] == "scores"


def test_labels_that_cannot_be_measured_count_nowhere():
    found = count_scores(TRUTH, SCORES, LABELS, {"b": "why"}, exclusive=False)
    assert [list(label) for label in found["labels"]][1] == ["label"]
    assert sum(number for number, _, _ in found["bins"]) == 400


def test_of_exclusive_labels_the_decisions_are_compared():
    scores = np.array([[0.8, 0.2], [0.6, 0.4], [0.35, 0.65]])
    found = count_scores([[1, 0], [0, 1], [0, 1]], scores, ("x", "y"), (), exclusive=True)
    assert found["bins_of"] == "decisions"
    assert found["bins"][6] == (2, pytest.approx(0.625), 1)
    assert found["calibration_error"] == pytest.approx((0.25 + 0.2) / 3)


def test_without_a_label_that_can_be_measured_there_is_no_error():
    found = count_scores(TRUTH, SCORES, LABELS, LABELS, exclusive=False)
    assert found["calibration_error"] is None
    assert [number for number, _, _ in found["bins"]] == [0] * 10
