"""The same solutions as scikit-learn's, found in the rotated coordinates."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from core.ml.training.logistic_regression import Design, prior_bias


def made_up(tracks: int, width: int, labels: int, *, exclusive: bool, seed: int = 0):
    """Correlated inputs with few strong directions, as embeddings have, and noisy labels."""
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(width, width)) * np.geomspace(1, 0.05, width)
    inputs = random.normal(size=(tracks, width)) @ mixed.T
    inputs = (inputs - inputs.mean(0)) / inputs.std(0)
    logits = inputs @ random.normal(0, 2 / width**0.5, (width, labels)) + random.logistic(
        size=(tracks, labels)
    )
    if exclusive:
        return inputs, logits.argmax(1)[:, None] == np.arange(labels)
    return inputs, logits > 1.5


def reference(inputs: np.ndarray, targets: np.ndarray, c: float, *, exclusive: bool) -> np.ndarray:
    """Scores by scikit-learn."""
    solver = LogisticRegression(C=c, tol=1e-8, solver="newton-cholesky")
    if exclusive:
        return np.asarray(solver.fit(inputs, targets.argmax(1)).predict_proba(inputs))
    return np.stack([solver.fit(inputs, column).predict_proba(inputs)[:, 1] for column in targets.T], axis=1)


@pytest.mark.parametrize("c", [1e-3, 0.1, 10])
@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize(("tracks", "width"), [(60, 120), (300, 20)])
def test_scores_are_those_of_scikit_learn(tracks, width, exclusive, c):
    inputs, targets = made_up(tracks, width, 4, exclusive=exclusive)
    found = Design(inputs).fit(targets, c, exclusive=exclusive)
    assert found.converged
    scores = found.scores(inputs, exclusive=exclusive)
    assert scores == pytest.approx(reference(inputs, targets, c, exclusive=exclusive), abs=1e-4)


def test_where_it_begins_does_not_matter():
    inputs, targets = made_up(80, 30, 4, exclusive=False)
    design = Design(inputs)
    start = design.fit(targets, 0.01, exclusive=False)
    warm, cold = (design.fit(targets, 1, exclusive=False, start=begin) for begin in (start, None))
    assert warm.logits(inputs) == pytest.approx(cold.logits(inputs), abs=1e-3)


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_label_that_no_track_has_is_as_rare_as_it_was(exclusive):
    inputs, targets = made_up(60, 90, 4, exclusive=exclusive)
    targets = np.insert(targets, 2, False, axis=1)
    found = Design(inputs).fit(targets, 1, exclusive=exclusive)
    assert not found.weights[2].any()
    scores = found.scores(inputs, exclusive=exclusive)
    assert scores[:, 2].mean() == pytest.approx(0.5 / 61, rel=0.3)
    without = Design(inputs).fit(np.delete(targets, 2, axis=1), 1, exclusive=exclusive)
    assert np.delete(scores, 2, axis=1) == pytest.approx(
        without.scores(inputs, exclusive=exclusive), abs=0.03
    )


def test_a_label_that_every_track_has_is_nearly_certain():
    inputs, targets = made_up(50, 10, 3, exclusive=False)
    targets[:, 1] = True
    scores = Design(inputs).fit(targets, 1, exclusive=False).scores(inputs, exclusive=False)
    assert scores[:, 1] == pytest.approx(np.full(50, 50.5 / 51))


def test_inputs_that_are_all_equal_give_the_prevalence():
    found = Design(np.zeros((10, 4))).fit(np.arange(20).reshape(10, 2) < 8, 1, exclusive=False)
    assert found.scores(np.ones((1, 4)), exclusive=False)[0] == pytest.approx(np.full(2, 4.5 / 11))


@pytest.mark.parametrize("exclusive", [True, False])
def test_the_prior_gives_the_prevalence(exclusive):
    bias = prior_bias(np.array([5, 10, 25]), 40, exclusive=exclusive)
    scores = np.exp(bias) if exclusive else 1 / (1 + np.exp(-bias))
    assert scores == pytest.approx(np.array([5.5, 10.5, 25.5]) / 41)


def test_it_can_be_stopped_between_two_iterations():
    class Stopped(Exception):
        pass

    def stop() -> None:
        raise Stopped

    inputs, targets = made_up(60, 20, 4, exclusive=True)
    with pytest.raises(Stopped):
        Design(inputs).fit(targets, 1, exclusive=True, on_iteration=stop)
