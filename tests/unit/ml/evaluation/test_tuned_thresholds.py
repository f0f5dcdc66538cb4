"""A label gets another threshold only if that is shown to be worth it on other tracks."""

import numpy as np
import pytest

from core.ml.evaluation.tuned_thresholds import NOT_LEARNT, Aim, tune

FORMER = (0.6, 0.6, 0.6)
EACH = range(60)  # a group of its own
FOLDS = [number % 5 for number in range(60)]


def made_up(tracks: int = 60, seed: int = 0):
    """Scores that tell the first label from the rest, and say nothing of the second; nobody has the third."""
    random = np.random.default_rng(seed)
    targets = np.zeros((tracks, 3), bool)
    targets[:, 0], targets[:, 1] = np.arange(tracks) % 3 == 0, random.random(tracks) < 0.3
    scores = random.random((tracks, 3))
    scores[:, 0] = np.where(targets[:, 0], 0.5 + scores[:, 0] / 2, scores[:, 0] / 2)
    return targets, scores, np.ones_like(targets)


@pytest.mark.parametrize("seed", range(5))
def test_a_label_that_does_not_reach_the_precision_keeps_its_threshold(seed):
    targets, scores, known = made_up(seed=seed)
    tuned = tune(Aim(min_precision=0.8), targets, scores, known, EACH, FOLDS, FORMER)
    assert 0.35 < tuned.thresholds[0] < 0.55
    assert tuned.thresholds[1:].tolist() == [0.6, 0.6]
    assert tuned.unreached.tolist() == [False, True, True]
    assert tuned.measured.tolist() == [True, True, False]
    assert tuned.kept[0] is None
    assert tuned.kept[1]
    assert tuned.kept[2] == NOT_LEARNT
    assert tuned.counts.precision[1] == tuned.before.precision[1]
    assert tuned.counts.recall[0] > tuned.before.recall[0]
    assert tuned.value > tuned.value_before
    gained = int((tuned.counts.hits - tuned.before.hits)[0])
    assert tuned.chance is not None
    assert tuned.chance >= 0.5**gained - 0.01  # no less than the share of exchanges that exchange no gain
    assert tuned.verdict(FORMER) == ("better" if gained >= 5 else "undecided")


@pytest.mark.parametrize("least", [0.5, 0.7, 0.9])
def test_what_gets_a_threshold_reaches_the_precision_on_tracks_it_was_chosen_without(least):
    for seed in range(5):
        random = np.random.default_rng(seed)
        logits = random.normal(-1, 1.5, (80, 4))
        scores = 1 / (1 + np.exp(-logits))
        targets = random.random(scores.shape) < scores
        known = np.ones_like(targets)
        tuned = tune(
            Aim(min_precision=least), targets, scores, known, range(80), [n % 5 for n in range(80)], [0.5] * 4
        )
        changed = np.array([reason is None for reason in tuned.kept])
        assert (tuned.counts.precision[changed] >= least).all()
        assert (tuned.thresholds[~changed] == 0.5).all()
        assert (tuned.unreached <= ~changed).all()
        idle = ~changed & ~tuned.unreached  # labels that have the precision, and gain nothing by more
        assert (tuned.before.precision[idle] >= least).all()
        assert (tuned.counts.recall[changed] > tuned.before.recall[changed])[
            tuned.before.precision[changed] >= least
        ].all()
        assert tuned.value >= tuned.value_before


def test_labels_that_no_model_had_learnt_keep_their_threshold_and_count_in_no_mean():
    targets, scores, known = made_up()
    known[:, 0] = ~targets[:, 0]
    tuned = tune(Aim(beta=2), targets, scores, known, EACH, FOLDS, FORMER)
    assert tuned.measured.tolist() == [False, True, False]
    assert tuned.thresholds[[0, 2]].tolist() == [0.6, 0.6]
    assert tuned.thresholds[1] < 0.6
    hits, given, positives = (each[1] for each in (tuned.counts.hits, tuned.counts.given, targets.sum(0)))
    assert tuned.value == pytest.approx(5 * hits / (given + 4 * positives))


def test_of_one_artist_no_precision_is_taken_for_reached():
    targets, scores, known = made_up()
    tuned = tune(Aim(min_precision=0.5), targets, scores, known, [0] * 60, [0] * 60, FORMER)
    assert tuned.thresholds.tolist() == list(FORMER)
    assert tuned.verdict(FORMER) == "unchanged"
    assert "one artist" in str(tuned.kept[0])


def test_other_thresholds_without_a_gain_are_not_called_better():
    targets, scores, known = made_up()
    best = tune(Aim(), targets, scores, known, EACH, FOLDS, FORMER).thresholds.tolist()
    near = [best[0] + 0.01, *best[1:]]
    again = tune(Aim(), targets, scores, known, EACH, FOLDS, near)
    assert again.value <= again.value_before
    assert again.verdict(near) == "not_better"


def test_a_threshold_is_not_lowered_to_a_precision_that_brings_no_recall():
    """All tracks with the label score higher than the others, one of which comes close to them."""
    targets = (np.arange(60) % 3 == 0)[:, None]
    scores = np.where(targets, np.linspace(0.8, 0.9, 60)[:, None], 0.02)
    scores[[1, 11]] = 0.05
    tuned = tune(Aim(min_precision=0.9), targets, scores, np.ones_like(targets), EACH, FOLDS, [0.449])
    assert tuned.thresholds.tolist() == [0.449]
    assert tuned.verdict([0.449]) == "unchanged"
    assert tuned.kept == ("it has a precision of 1.000 already, and no other one more recall",)
    assert tuned.unreached.tolist() == [False]


@pytest.mark.parametrize("aim", [Aim(), Aim(min_precision=0.9)])
def test_a_gain_of_one_track_may_be_chance_and_that_of_many_is_not(aim):
    """Each of the tracks with the label that score 0.5 is found by a lower threshold, and nothing else."""
    for found, verdict in ((1, "undecided"), (12, "better")):
        targets = (np.arange(60) % 3 == 0)[:, None]
        scores = np.where(targets, 0.9, 0.1)
        scores[np.flatnonzero(targets)[:found]] = 0.5
        tuned = tune(aim, targets, scores, np.ones_like(targets), EACH, FOLDS, [0.7])
        assert tuned.value > tuned.value_before
        assert tuned.verdict([0.7]) == verdict
        # Without the track of its only gain, no label would get another threshold for a precision.
        none_selected = aim.min_precision is not None and found == 1
        assert tuned.chance == pytest.approx(1 if none_selected else 0.5**found, abs=0.03)


def test_tracks_of_one_artist_count_as_one_piece_of_evidence():
    targets = (np.arange(60) % 3 == 0)[:, None]
    scores = np.where(targets, 0.9, 0.1)
    by_artist = np.arange(60) // 15
    scores[(by_artist == 0)[:, None] & targets] = 0.5
    tuned = tune(Aim(), targets, scores, np.ones_like(targets), by_artist.tolist(), by_artist.tolist(), [0.7])
    assert (tuned.counts.hits - tuned.before.hits).tolist() in ([0], [5])
    alone = tune(Aim(), targets, scores, np.ones_like(targets), EACH, FOLDS, [0.7])
    assert alone.verdict([0.7]) == "better"
    assert tuned.verdict([0.7]) != "better"


def test_thresholds_that_were_right_are_hardly_ever_said_to_be_bettered_at_a_precision():
    """Scores are the probabilities of the labels; of those from 0.55 on 72 in 100 have the label."""
    verdicts = []
    for seed in range(20):
        random = np.random.default_rng(seed)
        scores = 1 / (1 + np.exp(-random.normal(-1, 1.5, (100, 4))))
        targets = random.random(scores.shape) < scores
        folds, former = [number % 5 for number in range(100)], [0.55] * 4
        tuned = tune(
            Aim(min_precision=0.7), targets, scores, np.ones_like(targets), range(100), folds, former
        )
        verdicts.append(tuned.verdict(former))
    assert verdicts.count("better") <= 3
