"""What held-out scores cannot tell is known before anything is measured."""

import numpy as np

from core.ml.evaluation.measurable import learnt_labels, measured_tracks, why_not_measured

TRUTH = np.array([[1, 0, 0, 1], [1, 0, 0, 1], [0, 1, 0, 1], [0, 1, 0, 1], [0, 0, 0, 1]], bool)
FOLDS = np.array([1, 1, 1, 2, 2])


def known() -> np.ndarray:
    """Whether another fold has the label."""
    return np.array([TRUTH[fold != FOLDS].any(axis=0) for fold in FOLDS])


def test_a_label_of_one_fold_was_learnt_by_no_model_that_scored_it():
    learnt = learnt_labels(TRUTH, known())
    assert learnt.tolist() == [False, True, True, True]
    assert learnt_labels(TRUTH, np.ones_like(TRUTH)).all()


def test_tracks_whose_labels_no_model_knew_are_not_measured_on():
    truth = TRUTH[:, :3]
    assert measured_tracks(truth, np.array([False, True, True])).tolist() == [False, False, True, True, True]
    assert measured_tracks(truth, np.zeros(3, bool)).tolist() == [False, False, False, False, True]
    assert measured_tracks(truth[:2], np.zeros(3, bool)).all()


def test_every_label_that_cannot_be_measured_has_its_reason():
    learnt, labels = learnt_labels(TRUTH, known()), ("blues", "jazz", "pop", "rock")
    assert why_not_measured(TRUTH, learnt, labels, [1, 1, 2, 3, 4]) == {
        "blues": "its 2 tracks are of one artist or album",
        "pop": "no test track has it",
        "rock": "all 5 tracks have it",
    }
    assert why_not_measured(TRUTH, learnt, labels, [1, 2, 2, 3, 4])["blues"] == "its 2 tracks are of one fold"
