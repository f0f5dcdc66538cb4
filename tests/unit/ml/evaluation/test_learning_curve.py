"""What a model needs is read from a power law, with an interval that contains the truth."""

import numpy as np
import pytest

from core.ml.evaluation.learning_curve import _needed, fit_learning_curve

SIZES = (12, 20, 33, 55, 92, 150)


def test_the_tracks_for_95_percent_of_the_plateau_are_those_of_the_curve():
    scores = 0.9 - 0.8 * np.asarray(SIZES, float) ** -0.5
    needed, plateau = _needed(SIZES, scores[None])
    assert plateau[0] == pytest.approx(0.9, abs=0.01)
    assert needed[0] == pytest.approx((0.8 / (0.05 * 0.9)) ** 2, rel=0.1)


def test_a_curve_that_does_not_rise_needs_no_more_and_a_plateau_is_at_most_1():
    flat = np.full((1, len(SIZES)), 0.7)
    assert _needed(SIZES, flat)[0][0] == SIZES[0]
    falling = np.linspace(0.8, 0.7, len(SIZES))[None]
    assert _needed(SIZES, falling)[0][0] == SIZES[0]
    steep = np.linspace(0.1, 0.99, len(SIZES))[None]
    assert _needed(SIZES, steep)[1][0] <= 1


def decided(random: np.random.Generator, tracks: int, scores: list[float]):
    """Exclusive labels of which shares of the tracks are decided rightly; the same tracks are hard."""
    targets = np.eye(3, dtype=bool)[random.integers(0, 3, tracks)]
    wrong, hard = np.roll(targets, 1, axis=1), random.random(tracks)
    noise = random.random((len(scores), 3, tracks))
    right = (0.5 * hard + 0.5 * noise) < np.quantile(0.5 * hard + 0.5 * noise[0, 0], scores)[:, None, None]
    return targets, np.where(right[..., None], targets, wrong)


def test_the_interval_contains_the_truth_most_of_the_time_and_the_value_always():
    truth = (0.85 / (0.05 * 0.95)) ** (1 / 0.7)
    scores = [0.95 - 0.85 * size**-0.7 for size in SIZES]
    contained = told = 0
    for seed in range(40):
        targets, decisions = decided(np.random.default_rng(seed), 180, scores)
        found = fit_learning_curve(SIZES, targets, decisions, list(range(180)), seed)
        if found.needed is None or found.low is None:
            continue
        told += 1
        high = found.high or np.inf
        assert found.low <= found.needed <= high
        contained += found.low <= truth <= high
    assert told >= 30
    assert contained >= 0.9 * told


def test_what_lies_too_far_ahead_or_is_of_too_few_artists_is_not_told():
    random = np.random.default_rng(0)
    targets, decisions = decided(random, 200, [0.1, 0.15, 0.2, 0.25, 0.3, 0.35])
    found = fit_learning_curve(SIZES, targets, decisions, list(range(200)))
    assert found.needed is None
    # No number of tracks that would be enough: the model may have been trained on more already.
    assert found.reason == (
        "The score still rises after learning from 150 tracks: how many are needed is too far to tell."
    )
    few = fit_learning_curve(SIZES, targets, decisions, [number % 9 for number in range(200)])
    assert (few.needed, few.reason) == (None, "The tracks are by 9 artists; at least 10 are needed.")
    assert len(few.scores) == len(SIZES)


def test_of_a_curve_that_does_not_rise_nothing_is_told():
    targets = np.eye(2, dtype=bool)[np.arange(24) % 2]
    decisions = np.broadcast_to(targets, (6, 3, 24, 2))
    found = fit_learning_curve((8, 9, 11, 13, 15, 18), targets, decisions, [n // 2 for n in range(24)])
    assert (found.needed, found.low, found.high, found.plateau) == (None, None, None, None)
    assert "does not rise with the tracks (1.00 after learning from 8, 1.00 from 18)" in str(found.reason)
