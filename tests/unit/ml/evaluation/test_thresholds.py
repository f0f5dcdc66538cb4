"""Thresholds maximise F1 where there is enough to go by, and follow the others where there is not."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_recall_curve

from core.ml.evaluation.thresholds import (
    best_f_threshold,
    choose_thresholds,
    common_threshold,
    precision_recall_front,
    thresholds_for_precision,
)


def made_up(tracks: int = 300, labels: int = 3, seed: int = 0):
    random = np.random.default_rng(seed)
    targets = random.random((tracks, labels)) < 0.3
    return targets, np.clip(0.25 * targets + 0.75 * random.random((tracks, labels)), 0, 1)


@pytest.mark.parametrize("decimals", [9, 1])
@pytest.mark.parametrize("seed", range(5))
def test_no_other_threshold_has_a_higher_f1(seed, decimals):
    targets, scores = made_up(seed=seed)
    truth, given = targets[:, 0], np.round(scores[:, 0], decimals)
    precision, recall, _ = precision_recall_curve(truth, given)
    best = (2 * precision * recall / np.maximum(precision + recall, 1e-12)).max()
    assert f1_score(truth, given >= best_f_threshold(truth, given)) == pytest.approx(best)


def test_a_threshold_lies_midway_between_the_scores_it_divides():
    truth = np.array([True, False, True, False])
    assert best_f_threshold(truth, np.array([0.9, 0.2, 0.8, 0.4])) == pytest.approx(0.6)
    assert best_f_threshold(~truth, np.array([0.9, 0.2, 0.8, 0.4])) == pytest.approx(0.2)
    assert best_f_threshold(np.array([True]), np.array([0.7])) == 0.7


def test_a_label_without_positives_has_no_threshold_of_its_own():
    targets, scores = made_up()
    targets[:, 1] = False
    assert np.isnan(best_f_threshold(targets[:, 1], scores[:, 1]))
    assert choose_thresholds(targets, scores)[1] == common_threshold(targets, scores)


def test_the_fewer_positives_the_nearer_to_the_common_threshold():
    targets, scores = made_up()
    common = common_threshold(targets, scores)
    for label in range(3):
        own, count = best_f_threshold(targets[:, label], scores[:, label]), targets[:, label].sum()
        weight = count / (count + 20)
        assert choose_thresholds(targets, scores)[label] == pytest.approx(
            weight * own + (1 - weight) * common
        )
        assert choose_thresholds(targets, scores, shrink=0)[label] == pytest.approx(own)


def test_without_any_positive_the_threshold_is_a_half():
    assert choose_thresholds(np.zeros((4, 2)), np.full((4, 2), 0.1)).tolist() == [0.5, 0.5]


def test_more_weight_on_recall_lowers_the_thresholds():
    random = np.random.default_rng(5)
    targets = random.integers(0, 2, (200, 3))
    scores = 1 / (1 + np.exp(-random.normal(2 * targets - 1, 1.5)))
    careful, even, eager = (choose_thresholds(targets, scores, beta=beta) for beta in (0.3, 1, 3))
    assert (careful > even).all()
    assert (even > eager).all()


def test_a_precision_is_reached_with_the_most_recall():
    truth = np.array([[1], [1], [0], [1], [0], [0]])
    scores = np.array([[0.9], [0.8], [0.7], [0.6], [0.5], [0.4]])
    assert thresholds_for_precision(truth, scores, 1.0) == pytest.approx([0.75])
    assert thresholds_for_precision(truth, scores, 0.75) == pytest.approx([0.55])
    assert thresholds_for_precision(truth, scores, 0.5) == pytest.approx([0.4])
    unreachable = np.array([[0], [1], [0], [1]])
    assert thresholds_for_precision(
        unreachable, np.array([[0.9], [0.8], [0.7], [0.6]]), 0.9
    ) == pytest.approx([0.6])
    assert thresholds_for_precision(np.array([[0, 1], [0, 1]]), np.full((2, 2), 0.5), 0.9)[0] == 0.5


def test_the_front_of_precision_against_recall_holds_what_nothing_beats():
    truth = np.array([True, True, False, True, False, False])
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    front = precision_recall_front(truth, scores)
    assert [point[0] for point in front] == pytest.approx([0.75, 0.55])
    assert [point[1:] for point in front] == [(1.0, pytest.approx(2 / 3)), (0.75, 1.0)]
    assert precision_recall_front(~truth & truth, scores) == []
