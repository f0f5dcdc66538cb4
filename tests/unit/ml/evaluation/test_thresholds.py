"""Thresholds maximise F1 on the tracks to come, not only on those they are chosen on."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_recall_curve

from core.ml.evaluation.thresholds import (
    best_f_threshold,
    choose_thresholds,
    cross_fitted,
    expected_f_threshold,
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


def test_a_label_without_known_positives_gets_a_half():
    targets, scores = made_up()
    targets[:, 1] = False
    assert np.isnan(best_f_threshold(targets[:, 1], scores[:, 1]))
    assert choose_thresholds(targets, scores)[1] == 0.5
    assert choose_thresholds(np.zeros((4, 2)), np.full((4, 2), 0.1)).tolist() == [0.5, 0.5]
    unknown = np.ones_like(targets)
    unknown[:, 0] = ~targets[:, 0]
    assert choose_thresholds(targets, scores, unknown)[0] == 0.5


def test_scores_of_models_that_had_not_learnt_the_label_do_not_move_its_threshold():
    targets, scores = made_up()
    expected = choose_thresholds(targets[:200], scores[:200])
    known = np.arange(300)[:, None].repeat(3, axis=1) < 200
    assert choose_thresholds(targets, scores, known)[0] == expected[0]
    scores[200:] = 1 - scores[200:]
    assert choose_thresholds(targets, scores, known)[0] == expected[0]
    assert choose_thresholds(targets, scores)[0] != expected[0]


def test_of_probabilities_the_expected_f1_is_maximised():
    """By trying all of them; half of the best F1 is the threshold (Lipton and others, 2014)."""
    scores = np.random.default_rng(0).beta(0.4, 2, 2000)
    chosen = expected_f_threshold(scores)
    expected = [2 * scores[scores >= t].sum() / ((scores >= t).sum() + scores.sum()) for t in scores]
    given = scores >= chosen
    reached = 2 * scores[given].sum() / (given.sum() + scores.sum())
    assert reached == pytest.approx(max(expected))
    assert chosen == pytest.approx(reached / 2, abs=0.005)


@pytest.mark.parametrize("positives", [5, 10, 20])
def test_rare_labels_reach_more_on_other_tracks_than_by_the_best_threshold_or_a_half(positives):
    """Mean F1 over 40 labels on 2,000 other tracks, of scores that are probabilities."""
    random, gained = np.random.default_rng(positives), []
    for _ in range(40):
        tracks = 12 * positives
        logits = random.normal(-3, 1.8, tracks + 2000)
        scores = 1 / (1 + np.exp(-logits))
        truth = random.random(len(scores)) < scores
        few, other = slice(tracks), slice(tracks, None)
        if not truth[few].any():
            continue
        chosen = choose_thresholds(truth[few, None], scores[few, None])[0]
        best = best_f_threshold(truth[few], scores[few])
        gained.append([f1_score(truth[other], scores[other] >= t) for t in (chosen, best, 0.5)])
    ours, greedy, half = np.mean(gained, axis=0)
    assert ours > greedy + 0.01
    assert ours > half


def test_decisions_of_a_fold_are_by_thresholds_chosen_on_the_others():
    targets, scores = made_up(30)
    folds = np.arange(30) % 3
    seen: list[list[int]] = []

    def choose(rows: np.ndarray) -> np.ndarray:
        seen.append(rows.tolist())
        return np.array([0.2, 0.5, len(seen) / 10])

    decisions = cross_fitted(targets, scores, folds, choose)
    assert seen == [np.flatnonzero(folds != fold).tolist() for fold in range(3)]
    assert (decisions[:, 0] == (scores[:, 0] >= 0.2)).all()
    assert (decisions[:, 2] == (scores[:, 2] >= (1 + folds) / 10)).all()


def test_tracks_of_a_single_fold_are_decided_by_thresholds_chosen_on_them():
    targets, scores = made_up(30)

    def choose(rows: np.ndarray) -> np.ndarray:
        return choose_thresholds(targets[rows], scores[rows])

    decisions = cross_fitted(targets, scores, [0] * 30, choose)
    assert (decisions == (scores >= choose(np.arange(30)))).all()


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
    given = np.array([[0.9], [0.8], [0.7], [0.6]])
    assert thresholds_for_precision(unreachable, given, 0.9) == pytest.approx([0.6])
    (absent, sure) = thresholds_for_precision(np.array([[0, 1], [0, 1]]), np.full((2, 2), 0.5), 0.9)
    assert np.isnan(absent)
    assert sure == 0.5


def test_the_front_of_precision_against_recall_holds_what_nothing_beats():
    truth = np.array([True, True, False, True, False, False])
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    front = precision_recall_front(truth, scores)
    assert [point[0] for point in front] == pytest.approx([0.75, 0.55])
    assert [point[1:] for point in front] == [(1.0, pytest.approx(2 / 3)), (0.75, 1.0)]
    assert precision_recall_front(~truth & truth, scores) == []


def test_a_precision_is_reported_as_it_is_reached_on_other_tracks():
    """Of 60 tracks with some ten positives: chosen and measured on the same tracks, it looks far better."""
    random = np.random.default_rng(0)
    shown, same, reached = [], [], []
    for _ in range(60):
        logits = random.normal(-2, 1.6, (4060, 1))
        scores = 1 / (1 + np.exp(-logits))
        truth = random.random(scores.shape) < scores
        few, given, other = truth[:60], scores[:60], slice(60, None)

        def choose(rows: np.ndarray, few: np.ndarray = few, given: np.ndarray = given) -> np.ndarray:
            return thresholds_for_precision(few[rows], given[rows], 0.8)

        chosen = choose(np.arange(60))
        decided = cross_fitted(few, given, np.arange(60) % 5, choose)
        if not decided.any():
            continue
        shown.append((few & decided).sum() / decided.sum())
        same.append((few & (given >= chosen)).sum() / (given >= chosen).sum())
        reached.append(truth[other][scores[other] >= chosen].mean())
    assert np.mean(same) > np.mean(reached) + 0.1
    assert np.mean(shown) == pytest.approx(np.mean(reached), abs=0.1)
    assert np.mean(shown) < np.mean(reached) + 0.02
