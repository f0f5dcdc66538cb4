"""Two models are compared on the same tracks, and the interval of their difference is honest."""

import math

import numpy as np
import pytest

from core.ml.evaluation.arrays import Bools
from core.ml.evaluation.metrics import evaluate
from core.ml.evaluation.paired import paired_difference


def draw(
    random: np.random.Generator, artists: int, wrong: tuple[float, float]
) -> tuple[Bools, Bools, Bools, list[int]]:
    """Two tracks of each artist, with one of four labels; models err on the same ones more often than not."""
    truth = np.eye(4, dtype=bool)[np.repeat(random.integers(0, 4, artists), 2)]
    hard = np.repeat(random.random(artists), 2)
    other = np.roll(truth, 1, axis=1)
    decisions = [
        np.where((0.7 * hard + 0.3 * random.random(len(hard)) < share)[:, None], other, truth)
        for share in wrong
    ]
    return truth, decisions[0], decisions[1], np.repeat(np.arange(artists), 2).tolist()


def test_the_difference_is_that_of_both_macro_f1():
    truth, first, second, groups = draw(np.random.default_rng(1), 40, (0.5, 0.2))
    found = paired_difference(truth, first, second, groups, 200)
    of = [evaluate(truth, each.astype(float), "abcd", 0.5).summary()["f1_macro"] for each in (first, second)]
    assert [found.first, found.second] == pytest.approx(of)
    assert found.difference == pytest.approx(of[1] - of[0])
    assert 0 < found.low < found.difference < found.high
    assert (found.labels, found.groups) == (4, 40)
    back = paired_difference(truth, second, first, groups, 200)
    assert [back.low, back.high] == pytest.approx([-found.high, -found.low])


@pytest.mark.parametrize(("artists", "wrong"), [(15, (0.4, 0.4)), (30, (0.5, 0.3))])
def test_intervals_of_95_percent_contain_the_true_difference_at_least_nine_times_in_ten(artists, wrong):
    random = np.random.default_rng(artists)
    truth = paired_difference(*draw(random, 20_000, wrong), repeats=1).difference
    contained = 0
    for seed in range(200):
        found = paired_difference(*draw(random, artists, wrong), repeats=200, seed=seed)
        contained += found.low <= truth <= found.high
    assert contained >= 180


def test_too_few_artists_and_tracks_without_labels_give_no_interval():
    truth, first, second, groups = draw(np.random.default_rng(2), 9, (0.5, 0.2))
    found = paired_difference(truth, first, second, groups, 50)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.groups == 9
    nothing = np.zeros_like(truth)
    found = paired_difference(nothing, first, second, list(range(len(truth))), 50)
    assert math.isnan(found.difference)
    assert found.labels == 0
