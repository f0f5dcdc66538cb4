"""Measures equal scikit-learn's, ties and weights included, and say what they could not measure."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from core.ml.evaluation.metrics import co_occurrence, evaluate, frequency_bands, mean_metrics
from core.ml.evaluation.ranking import Ranking

LABELS = ("blues", "jazz", "pop", "rock")


def made_up(tracks: int = 200, labels: int = 4, decimals: int = 9, seed: int = 0):
    """Targets and scores that have something to do with each other; few decimals give many ties."""
    random = np.random.default_rng(seed)
    targets = random.random((tracks, labels)) < np.linspace(0.1, 0.6, labels)
    scores = np.clip(0.3 * targets + random.random((tracks, labels)) * 0.7, 0, 1)
    return targets.astype(np.float32), np.round(scores, decimals)


@pytest.mark.parametrize("decimals", [9, 1, 0])
def test_areas_equal_those_of_scikit_learn(decimals):
    targets, scores = made_up(decimals=decimals)
    roc, precision = Ranking(targets, scores).roc_auc_and_average_precision()
    assert roc == pytest.approx(roc_auc_score(targets, scores, average=None))
    assert precision == pytest.approx(average_precision_score(targets, scores, average=None))


@pytest.mark.parametrize("decimals", [9, 1])
def test_weighted_areas_equal_those_of_scikit_learn(decimals):
    targets, scores = made_up(decimals=decimals)
    weights = np.random.default_rng(1).integers(0, 4, len(targets)).astype(float)
    roc, precision = Ranking(targets, scores).roc_auc_and_average_precision(weights)
    expected = average_precision_score(targets, scores, average=None, sample_weight=weights)
    assert roc == pytest.approx(roc_auc_score(targets, scores, average=None, sample_weight=weights))
    assert precision == pytest.approx(expected)


def test_areas_of_a_label_without_both_kinds_of_tracks_are_unknown():
    targets = np.array([[0, 1, 1], [0, 1, 0], [0, 1, 1]])
    roc, precision = Ranking(targets, np.full((3, 3), 0.5)).roc_auc_and_average_precision()
    assert np.isnan(roc).tolist() == np.isnan(precision).tolist() == [True, True, False]
    assert (roc[2], precision[2]) == pytest.approx((0.5, 2 / 3))
    roc, _ = Ranking(targets, np.full((3, 3), 0.5)).roc_auc_and_average_precision(np.array([1.0, 0.0, 1.0]))
    assert np.isnan(roc).all()


def test_f1_scores_equal_those_of_scikit_learn():
    targets, scores = made_up()
    found = evaluate(targets, scores, LABELS, [0.4, 0.5, 0.6, 0.7])
    decided = scores >= [0.4, 0.5, 0.6, 0.7]
    for average, value, undefined in (
        ("micro", found.f1_micro, 0),
        ("macro", found.f1_macro, 0),
        ("samples", found.f1_samples, 1),  # a track without labels that gets none is right
    ):
        assert value == pytest.approx(f1_score(targets, decided, average=average, zero_division=undefined))
    assert [one.f1 for one in found.per_label] == pytest.approx(f1_score(targets, decided, average=None))


def test_small_numbers_by_hand():
    targets = [[1, 0], [1, 1], [0, 0], [0, 1]]
    scores = [[0.9, 0.1], [0.3, 0.8], [0.6, 0.2], [0.1, 0.4]]
    found = evaluate(targets, scores, ("a", "b"), 0.5)
    first, second = found.per_label
    assert (first.support, first.chance, first.roc_auc) == (2, 0.5, 0.75)
    assert first.pr_auc == pytest.approx((1 + 2 / 3) / 2)
    assert (first.precision, first.recall, first.f1) == (0.5, 0.5, 0.5)
    assert (second.precision, second.recall) == (1.0, 0.5)
    assert second.f1 == pytest.approx(2 / 3)
    assert found.roc_auc_macro == pytest.approx(0.875)
    assert found.f1_micro == pytest.approx(4 / 7)
    assert found.f1_samples == pytest.approx((1 + 2 / 3 + 0 + 0) / 4)
    assert found.pr_auc_chance == 0.5


def test_labels_that_cannot_be_scored_are_listed_and_left_out_of_the_means():
    targets, scores = made_up()
    targets[:, 0], targets[:, 2] = 0, 1
    found = evaluate(targets, scores, LABELS, 0.5)
    assert (found.unmeasured, found.measured_labels) == (("blues", "pop"), 2)
    assert found.per_label[0].roc_auc is found.per_label[2].pr_auc is None
    assert found.per_label[0].f1 is found.per_label[0].precision is found.per_label[2].recall is None
    known = roc_auc_score(targets[:, [1, 3]], scores[:, [1, 3]])
    assert found.roc_auc_macro == pytest.approx(known)
    assert found.pr_auc_chance == pytest.approx(targets[:, [1, 3]].mean())
    f1 = f1_score(targets[:, [1, 3]], scores[:, [1, 3]] >= 0.5, average="macro")
    assert found.f1_macro == pytest.approx(f1)


def test_nothing_that_can_be_scored_is_no_error():
    found = evaluate(np.zeros((3, 2)), np.zeros((3, 2)), ("a", "b"), 0.5)
    assert found.roc_auc_macro is found.pr_auc_chance is None
    assert (found.f1_micro, found.f1_macro, found.f1_samples) == (None, None, 1)
    assert found.summary() == {"f1_samples": 1, "tracks": 3, "measured_labels": 0}


def test_labels_that_no_model_had_learnt_are_part_of_no_average():
    targets, scores = made_up()
    learnt = np.array([False, True, True, True])
    found = evaluate(targets, scores, LABELS, 0.5, learnt=learnt)
    rest = evaluate(targets[:, 1:], scores[:, 1:], LABELS[1:], 0.5)
    assert found.unmeasured == ("blues",)
    assert found.summary() == pytest.approx(rest.summary())
    assert found.per_label[1:] == rest.per_label
    nothing = evaluate(targets, scores, LABELS, 0.5, learnt=np.zeros(4, bool))
    assert nothing.summary() == {"tracks": len(targets), "measured_labels": 0}


def test_a_label_that_is_never_given_has_no_precision():
    found = evaluate([[1, 0], [0, 1]], [[0.1, 0.9], [0.2, 0.8]], "ab", 0.5)
    assert (found.per_label[0].precision, found.per_label[0].recall, found.per_label[0].f1) == (None, 0, 0)


def test_a_score_equal_to_the_threshold_gives_the_label():
    assert evaluate([[1], [0]], [[0.5], [0.4]], ("a",), [0.5]).f1_micro == 1


def test_with_one_label_per_track_co_occurrence_is_the_confusion_matrix():
    truth, given = np.eye(3)[[0, 0, 1, 2]], np.eye(3)[[0, 1, 1, 0]]
    assert co_occurrence(truth, given).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_labels_are_grouped_by_their_number_of_training_tracks():
    targets, scores = made_up()
    targets[:, 3] = 0
    found = evaluate(targets, scores, LABELS, 0.5)
    bands = frequency_bands({"blues": 100, "jazz": 99, "pop": 20, "rock": 19})
    assert bands == {"head": ["blues"], "middle": ["jazz", "pop"], "tail": ["rock"]}
    blues, jazz, pop, _ = found.per_label
    means = {name: mean_metrics(found, labels) for name, labels in bands.items()}
    assert {name: of_band["labels"] for name, of_band in means.items()} == {"head": 1, "middle": 2, "tail": 1}
    assert means["head"]["f1"] == blues.f1
    assert means["middle"]["f1"] == pytest.approx(np.mean([jazz.f1, pop.f1]))
    assert (means["tail"]["labels"], means["tail"]["measured"]) == (1, 0)
    assert np.isnan(means["tail"]["pr_auc"])


def test_accuracy_is_defined_if_each_track_has_one_label():
    scores = [[0.2, 0.3, 0.1], [0.6, 0.5, 0.7], [0.1, 0.2, 0.3]]
    assert evaluate([[0, 1, 0], [1, 0, 0], [0, 0, 1]], scores, "abc", 0.5).accuracy == pytest.approx(2 / 3)
    assert evaluate([[0, 1, 1], [1, 0, 0], [0, 0, 1]], scores, "abc", 0.5).accuracy is None


def test_decisions_may_be_others_than_those_of_the_thresholds():
    found = evaluate([[1, 0], [0, 1]], [[0.9, 0.8], [0.9, 0.8]], "ab", 0.5, [[1, 0], [0, 1]])
    assert found.f1_macro == 1


@pytest.mark.parametrize(
    ("targets", "scores", "message"),
    [
        ([[1, 0]], [[0.5]], "same"),
        ([1, 0], [0.5, 0.5], "same"),
        (np.zeros((0, 2)), np.zeros((0, 2)), "same"),
        ([[2]], [[0.5]], "0 or 1"),
        ([[1]], [[1.5]], "0, 1"),
        ([[1]], [[np.nan]], "0, 1"),
    ],
)
def test_arrays_that_make_no_sense_are_refused(targets, scores, message):
    with pytest.raises(ValueError, match=message):
        evaluate(targets, scores, ("a",), 0.5)
