"""Scores of held-out tracks, and what the models that gave them had learnt."""

import numpy as np

from core.ml.training.prediction import HeldOutScores, joined


def test_no_fold_has_learnt_from_the_validation_tracks():
    folds = HeldOutScores([0, 1, 2], np.zeros((3, 2)), [1, 1, 2])
    validation = HeldOutScores([3, 4], np.zeros((2, 2)), [0, 0])
    targets = np.array([[1, 0], [0, 1], [1, 0], [1, 1], [0, 1]], float)
    known = joined((folds, validation)).learnt(targets)
    assert known.tolist() == [[True, False], [True, False], [True, True], [True, True], [True, True]]


def test_without_folds_every_label_was_learnt():
    assert HeldOutScores([0, 1], np.zeros((2, 1)), [0, 0]).learnt(np.zeros((2, 1))).all()
