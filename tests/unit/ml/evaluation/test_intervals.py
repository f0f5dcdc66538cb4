"""Intervals come from resampling artists, repeat for a seed, and grow when tracks are not independent."""

import numpy as np
import pytest

from core.ml.evaluation.intervals import INTERVAL_METRICS, _Sample, confidence_intervals, resamples
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
    sample = _Sample(targets, scores, scores >= 0.5)
    weights = next(resamples([n // 4 for n in range(60)], 3, 5))
    for row, measured in zip(weights, sample.measures(weights), strict=True):
        drawn = np.repeat(np.arange(60), row.astype(int))
        metrics = evaluate(targets[drawn], scores[drawn], LABELS, 0.5)
        assert measured == pytest.approx([getattr(metrics, name) for name in INTERVAL_METRICS])


def draw(random, artists: int, distance: float):
    """Two tracks of each artist, which share labels and most of what the scores get wrong."""
    of_artist = random.random((artists, 4)) < 0.12
    targets = np.repeat(of_artist, 2, axis=0) ^ (random.random((2 * artists, 4)) < 0.02)
    noise = 0.6 * np.repeat(random.normal(size=(artists, 4)), 2, axis=0)
    noise += 0.8 * random.normal(size=targets.shape)
    return targets, 1 / (1 + np.exp(1.5 - distance * targets - noise)), np.repeat(np.arange(artists), 2)


@pytest.mark.parametrize(("artists", "distance"), [(20, 1.6), (40, 4.0)])
def test_intervals_of_95_percent_contain_the_truth_at_least_nine_times_in_ten(artists, distance):
    """The truth is that of 8,000 tracks by other artists; 200 draws of a few tracks, each with intervals."""
    random = np.random.default_rng(artists)
    targets, scores, _ = draw(random, 4000, distance)
    truth = evaluate(targets, scores, "abcd", 0.5).summary()
    contained = dict.fromkeys(INTERVAL_METRICS, 0)
    for seed in range(200):
        targets, scores, groups = draw(random, artists, distance)
        found = confidence_intervals(targets, scores, scores >= 0.5, groups.tolist(), 100, seed)
        for name, interval in found.items():
            contained[name] += interval.low <= truth[name] <= interval.high
    assert min(contained.values()) >= 180, contained


def decided_by_artist(random, artists: int, share: float):
    """One of two labels per artist, decided rightly for a share of the artists, on both of their tracks."""
    has = random.random(artists) < 0.5
    given = has ^ (random.random(artists) >= share)
    scores = np.where(given, 0.75, 0.25) + 0.2 * (random.random(artists) - 0.5)
    targets, scores = (
        np.repeat(np.column_stack(two), 2, axis=0) for two in ((has, ~has), (scores, 1 - scores))
    )
    return targets, scores, np.repeat(np.arange(artists), 2)


@pytest.mark.parametrize(("artists", "share"), [(10, 0.85), (12, 0.9), (15, 0.95)])
def test_intervals_of_few_artists_contain_the_truth_though_all_may_be_right_by_chance(artists, share):
    """With 12 artists and a truth of 0.9, nothing is wrong in 28 % of the draws."""
    random = np.random.default_rng(artists)
    targets, scores, _ = decided_by_artist(random, 4000, share)
    truth = evaluate(targets, scores, "ab", 0.5).summary()
    contained = dict.fromkeys(INTERVAL_METRICS, 0)
    for seed in range(100):
        targets, scores, groups = decided_by_artist(random, artists, share)
        found = confidence_intervals(targets, scores, scores >= 0.5, groups.tolist(), 50, seed)
        for name, interval in found.items():
            contained[name] += interval.low <= truth[name] <= interval.high
    assert min(contained.values()) >= 90, contained


def test_twelve_of_twelve_artists_bound_a_score_as_the_binomial_distribution_does():
    targets = np.arange(12)[:, None] % 2 == [0, 1]
    right = confidence_intervals(targets, targets * 0.8 + 0.1, targets, list(range(12)), repeats=50)
    wrong = confidence_intervals(targets, targets * 0.8 + 0.1, ~targets, list(range(12)), repeats=50)
    assert right["f1_micro"].low == pytest.approx(0.025 ** (1 / 12))
    assert wrong["f1_micro"].high == pytest.approx(1 - 0.025 ** (1 / 12))


def test_one_wrong_of_ten_artists_is_not_taken_for_ignorance():
    """Nine of ten have the exact interval 0.555 to 0.997; a third of the resamples are perfect."""
    targets = np.arange(10)[:, None] % 2 == [0, 1]
    decisions = targets.copy()
    decisions[0] = ~decisions[0]
    found = confidence_intervals(targets, decisions * 0.8 + 0.1, decisions, list(range(10)))
    for name in ("f1_micro", "f1_samples"):
        assert 0.4 < found[name].low < 0.75
        assert 0.95 < found[name].high <= 1


def test_a_perfect_score_is_not_taken_for_certain():
    targets = np.arange(40)[:, None] % 2 == [0, 1]
    found = confidence_intervals(targets, targets * 0.8 + 0.1, targets, list(range(40)), repeats=50)
    for interval in found.values():
        assert interval.value == interval.high == 1
        assert 0.9 < interval.low < 0.98


def test_artists_are_drawn_whole_and_as_many_as_there_are():
    groups = ["x", "x", "y", "z", "z", "z"]
    for weights in resamples(groups, 120, 0):
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
    assert np.isnan(found["f1_micro"].value)


def test_a_handful_of_artists_says_nothing_of_others():
    targets, scores = made_up()
    of_one = confidence_intervals(targets, scores, scores >= 0.5, [0] * 200, repeats=10)
    assert np.isnan([of_one["f1_micro"].low, of_one["f1_micro"].high]).all()
    assert of_one["f1_micro"].value > 0
