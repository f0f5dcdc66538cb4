"""Intervals come from resampling artists, repeat for a seed, and grow when tracks are not independent."""

import numpy as np
import pytest

from core.ml.evaluation.intervals import INTERVAL_METRICS, _resamples, confidence_intervals
from core.ml.evaluation.metrics import evaluate

LABELS = ("a", "b", "c")


def made_up(tracks: int = 200, noise: float = 0.6, seed: int = 0):
    random = np.random.default_rng(seed)
    targets = random.random((tracks, 3)) < 0.4
    return targets, np.clip((1 - noise) * targets + noise * random.random((tracks, 3)), 0, 1)


def test_the_value_is_that_of_all_tracks_and_lies_between_its_bounds():
    targets, scores = made_up()
    found = confidence_intervals(targets, scores, scores >= [0.5, 0.4, 0.6], list(range(200)), repeats=200)
    metrics = evaluate(targets, scores, LABELS, [0.5, 0.4, 0.6])
    assert set(found) == set(INTERVAL_METRICS)
    for name, interval in found.items():
        assert interval.value == pytest.approx(getattr(metrics, name))
        assert interval.low < interval.value < interval.high


def test_a_resample_is_measured_like_its_tracks_repeated():
    targets, scores = made_up(60)
    groups = [n // 4 for n in range(60)]
    found = confidence_intervals(targets, scores, scores >= 0.5, groups, repeats=1, seed=5)
    (weights,) = next(_resamples(groups, 1, 5))
    drawn = np.repeat(np.arange(60), weights.astype(int))
    metrics = evaluate(targets[drawn], scores[drawn], LABELS, 0.5)
    for name in INTERVAL_METRICS:
        assert found[name].low == found[name].high == pytest.approx(getattr(metrics, name))


def test_artists_are_drawn_whole_and_as_many_as_there_are():
    groups = ["x", "x", "y", "z", "z", "z"]
    for weights in _resamples(groups, 120, 0):
        assert (weights[:, 0] == weights[:, 1]).all()
        assert (weights[:, 3] == weights[:, 5]).all()
        assert (weights[:, [0, 2, 3]].sum(axis=1) == 3).all()


def test_the_same_seed_gives_the_same_interval():
    targets, scores = made_up()
    first, again, other = (
        confidence_intervals(targets, scores, scores >= 0.5, list(range(200)), repeats=60, seed=seed)
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_tracks_of_few_artists_say_less():
    targets, scores = made_up(40)
    targets, scores = np.repeat(targets, 10, axis=0), np.repeat(scores, 10, axis=0)
    widths = []
    for groups in ([n // 10 for n in range(400)], list(range(400))):
        found = confidence_intervals(targets, scores, scores >= 0.5, groups, repeats=200)["roc_auc_macro"]
        widths.append(found.high - found.low)
    assert widths[0] > 2 * widths[1]


def test_a_label_missing_from_a_resample_does_not_spoil_it():
    targets, scores = made_up(30)
    targets[:, 0] = False
    targets[0, 0] = True
    found = confidence_intervals(targets, scores, scores >= 0.5, list(range(30)), repeats=100)
    assert all(np.isfinite([one.low, one.high]).all() for one in found.values())


def test_what_cannot_be_measured_has_no_bounds():
    found = confidence_intervals(
        np.zeros((5, 2)), np.zeros((5, 2)), np.zeros((5, 2)), list(range(5)), repeats=10
    )
    assert np.isnan([found["roc_auc_macro"].value, found["roc_auc_macro"].low]).all()
    assert found["f1_micro"].value == 0


def test_a_handful_of_artists_says_nothing_of_others():
    targets, scores = made_up()
    of_one = confidence_intervals(targets, scores, scores >= 0.5, [0] * 200, repeats=10)
    assert np.isnan([of_one["f1_micro"].low, of_one["f1_micro"].high]).all()
    assert of_one["f1_micro"].value > 0
