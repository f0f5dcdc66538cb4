"""Calibrated scores are proportions, and calibration changes no decision once thresholds are chosen again."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from core.config.models import Calibration
from core.ml.evaluation.arrays import log_loss, logit, sigmoid, softmax
from core.ml.evaluation.calibration import (
    brier_score,
    calibrate,
    calibration_error,
    fit_calibration,
    fit_platt,
    fit_softmax_temperature,
    fit_temperature,
)
from core.ml.evaluation.ranking import Ranking
from core.ml.evaluation.thresholds import best_f_threshold


def overconfident(tracks: int = 4000, slope: float = 3.0, offset: float = 1.0, seed: int = 0):
    """Targets drawn from true probabilities, and scores whose logits are too large, and shifted."""
    random = np.random.default_rng(seed)
    true = sigmoid(random.normal(-1, 1.2, (tracks, 3)))
    return random.random(true.shape) < true, sigmoid(slope * logit(true) + offset)


def test_temperature_finds_how_overconfident_scores_are():
    found = fit_temperature(*overconfident(offset=0.0))
    assert found.slopes == pytest.approx([1 / 3] * 3, rel=0.1)
    assert found.offsets == (0, 0, 0)


def test_platt_finds_slope_and_offset_of_each_label():
    found = fit_platt(*overconfident())
    assert found.slopes == pytest.approx([1 / 3] * 3, rel=0.15)
    assert found.offsets == pytest.approx([-1 / 3] * 3, abs=0.1)


@pytest.mark.parametrize("method", ["temperature", "platt"])
def test_other_tracks_are_scored_more_truly_afterwards(method):
    found = fit_calibration(method, *overconfident(offset=0.0))
    targets, scores = overconfident(offset=0.0, seed=1)
    calibrated = calibrate(scores, found)
    assert (calibration_error(targets, calibrated) < calibration_error(targets, scores) / 2).all()
    assert (calibration_error(targets, calibrated) < 0.03).all()
    assert (brier_score(targets, calibrated) < brier_score(targets, scores)).all()


@pytest.mark.parametrize("method", ["temperature", "platt"])
@pytest.mark.parametrize("seed", range(3))
def test_no_decision_changes_when_thresholds_are_chosen_again(method, seed):
    targets, scores = overconfident(400, seed=seed)
    calibrated = calibrate(scores, fit_calibration(method, targets, scores))
    for label in range(3):
        before = scores[:, label] >= best_f_threshold(targets[:, label], scores[:, label])
        after = calibrated[:, label] >= best_f_threshold(targets[:, label], calibrated[:, label])
        assert (before == after).all()
    areas = [Ranking(targets, each).roc_auc_and_average_precision()[0] for each in (scores, calibrated)]
    assert areas[1] == pytest.approx(areas[0])


def test_a_label_with_few_examples_shares_the_slope_and_has_a_small_offset():
    targets, scores = overconfident()
    targets[:, 1:] = False
    targets[:9, 1] = targets[:30, 2] = True
    found = fit_platt(targets[:400], scores[:400])
    assert found.slopes[1] == found.slopes[2] != found.slopes[0]
    without = fit_platt(targets[:400], scores[:400], free_from=10**6)
    assert len(set(without.slopes)) == 1
    assert found.offsets[1:] == without.offsets[1:]


@pytest.mark.parametrize("tracks", [12, 40, 49, 51])
def test_few_tracks_that_happen_to_be_separable_are_not_pushed_to_the_ends(tracks):
    targets = np.arange(tracks)[:, None] % [2, 3, 4] == 0
    scores = np.where(targets, 0.7, 0.3)
    calibrated = calibrate(scores, fit_platt(targets, scores))
    assert ((calibrated > 0.5) == targets).all()
    assert 0.001 < calibrated.min() < calibrated.max() < 0.999


def test_ten_positives_are_calibrated_better_than_by_a_slope_of_each():
    """Log loss on other tracks, mean of ten draws of 40 tracks with a quarter of positives."""
    losses = []
    for seed in range(10):
        targets, scores = overconfident(40, seed=seed)
        others, given = overconfident(2000, seed=100 + seed)
        losses.append(
            [
                log_loss(
                    others, calibrate(given, fit_platt(targets, scores, free_from=least)), exclusive=False
                )
                for least in (50, 1)
            ]
        )
    ridge, free = np.mean(losses, axis=0)
    assert ridge < free


def test_scores_that_contradict_the_truth_are_not_turned_round():
    targets, scores = overconfident()
    found = fit_platt(targets, 1 - scores)
    assert min(found.slopes) > 0


def test_scores_of_zero_and_one_are_calibrated_too():
    steep = Calibration(slopes=(1.0, 20.0), offsets=(0.0, 0.0))
    calibrated = calibrate([[0.0, 1.0], [1.0, 0.0]], steep)
    assert ((calibrated >= 0) & (calibrated <= 1)).all()
    assert calibrated[:, 0] == pytest.approx([0, 1], abs=1e-6)


def test_a_stored_model_applies_the_same_values():
    found = fit_platt(*overconfident(400))
    assert Calibration.model_validate_json(found.model_dump_json()) == found


def test_calibration_error_by_hand():
    targets, scores = [[1], [0], [1], [1]], [[0.85], [0.85], [0.15], [1.0]]
    assert calibration_error(targets, scores) == pytest.approx([0.7 / 4 + 0.85 / 4])


def test_brier_score_equals_that_of_scikit_learn():
    targets, scores = overconfident(400)
    expected = [brier_score_loss(targets[:, label], scores[:, label]) for label in range(3)]
    assert brier_score(targets, scores) == pytest.approx(expected)


def exclusive(tracks: int = 4000, slope: float = 3.0, seed: int = 0):
    """One label per track, drawn from a softmax, and the softmax of logits that are too large."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.2, (tracks, 4))
    true = softmax(logits)
    chosen = (random.random((tracks, 1)) > true.cumsum(axis=1)).sum(axis=1).clip(max=3)
    return np.eye(4)[chosen], softmax(slope * logits)


def test_the_temperature_of_exclusive_labels_is_found_and_moves_no_label():
    targets, scores = exclusive()
    found = fit_softmax_temperature(targets, scores)
    assert found.form == "softmax"
    assert found.slopes == pytest.approx([1 / 3] * 4, rel=0.1)
    given = calibrate(scores, found)
    assert given.sum(axis=1) == pytest.approx(np.ones(len(given)))
    assert (given.argmax(axis=1) == scores.argmax(axis=1)).all()
    assert calibration_error(targets, given).max() < 0.03 < calibration_error(targets, scores).max()


def test_the_temperature_stays_finite_for_separable_labels_and_without_labels():
    targets = np.eye(3)[[0, 1, 2] * 20]
    assert 0 < fit_softmax_temperature(targets, np.where(targets, 0.6, 0.2)).slopes[0] < 20
    assert fit_softmax_temperature(np.zeros((5, 3)), np.full((5, 3), 1 / 3)).slopes == (1.0, 1.0, 1.0)
