"""Logistic regression with an L2 penalty, solved exactly.

Minimises the sum of the tracks' losses plus `||W||^2 / (2 C)`, with unpenalised biases, by L-BFGS in float64.
This is the objective of scikit-learn's `LogisticRegression`. Shapes: N tracks, D inputs, L labels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, logsumexp, softmax

from core.ml.evaluation.arrays import Bools, Floats

MAX_ITERATIONS = 500
TOLERANCE = 1e-5  # largest entry of the gradient, in the coordinates in which the Hessian is about 1
_RANK_TOLERANCE = 1e-10  # directions whose share of the variance is smaller carry no information
_LEAST_CURVATURE = 1e-3  # of `p * (1 - p)`, so that coordinates stay finite for certain labels


@dataclass(frozen=True)
class Regression:
    """Weights (L, D) and biases (L,)."""

    weights: Floats
    bias: Floats
    iterations: int = 0
    converged: bool = True

    def logits(self, inputs: Floats) -> Floats:
        """(N, D) -> (N, L)."""
        return np.asarray(inputs @ self.weights.T + self.bias)

    def scores(self, inputs: Floats, *, exclusive: bool) -> Floats:
        """Probabilities (N, L): the softmax of the logits for exclusive labels, else their sigmoids."""
        return np.asarray(softmax(self.logits(inputs), axis=1) if exclusive else expit(self.logits(inputs)))


class Design:
    """The inputs of a regression, rotated to their principal axes once for all its penalties.

    The penalty does not change under rotation, and no solution leaves the space that the inputs span: with
    fewer tracks than inputs the problem shrinks to N dimensions. Along the axes the Hessian is nearly
    diagonal, so that L-BFGS takes few iterations.
    """

    def __init__(self, inputs: Floats) -> None:
        if len(inputs) < inputs.shape[1]:
            _, singular, axes = np.linalg.svd(inputs, full_matrices=False)
            energy, axes = singular**2, axes.T
        else:
            energy, axes = np.linalg.eigh(inputs.T @ inputs)
        kept = energy > _RANK_TOLERANCE * max(float(energy.max(initial=0)), np.finfo(float).tiny)
        self.energy: Floats = energy[kept]  # (R,)
        self._axes: Floats = axes[:, kept]  # (D, R)
        self.rotated: Floats = np.ascontiguousarray(inputs @ self._axes)  # (N, R)

    def fit(
        self,
        targets: Bools,
        c: float,
        *,
        exclusive: bool,
        start: Regression | None = None,
        tolerance: float = TOLERANCE,
        on_iteration: Callable[[], None] = lambda: None,
    ) -> Regression:
        """The regression on targets (N, L); of exclusive labels, each row has exactly one.

        A label that no track or, unless labels are exclusive, every track has cannot be learnt: its score is
        about its prevalence, whatever the input. `start` is where to begin, such as a solution for another C.
        `on_iteration` may raise to stop.
        """
        positives = targets.sum(axis=0)
        learnt = (positives > 0) if exclusive else (positives > 0) & (positives < len(targets))
        bias = prior_bias(positives, len(targets), exclusive=exclusive)
        weights = np.zeros((targets.shape[1], self._axes.shape[0]))
        if not learnt.any() or not len(self.energy):
            return Regression(weights, bias)
        begin = np.zeros((int(learnt.sum()), len(self.energy) + 1))
        begin[:, -1] = bias[learnt]
        if start is not None:
            begin = np.column_stack((start.weights[learnt] @ self._axes, start.bias[learnt]))
        problem = _Problem(self.rotated, targets[:, learnt].astype(np.float64), c, exclusive=exclusive)
        scale = problem.scale(begin, self.energy)

        def loss(flat: Floats) -> tuple[float, Floats]:
            value, gradient = problem.loss(flat.reshape(begin.shape) / scale)
            return value, (gradient / scale).ravel()

        found = minimize(
            loss,
            (begin * scale).ravel(),
            jac=True,
            method="L-BFGS-B",
            callback=lambda _: on_iteration(),
            options={"maxiter": MAX_ITERATIONS, "gtol": tolerance, "ftol": 1e-13, "maxcor": 20},
        )
        solution = found.x.reshape(begin.shape) / scale
        weights[learnt], bias[learnt] = solution[:, :-1] @ self._axes.T, solution[:, -1]
        if exclusive and not learnt.all():
            # So that the mean score of these tracks is what the prior says.
            others = logsumexp(self.rotated @ solution[:, :-1].T + solution[:, -1], axis=1)
            bias[~learnt] -= logsumexp(-others) - np.log(len(others))
        return Regression(weights, bias, int(found.nit), converged=found.nit < MAX_ITERATIONS)


class _Problem:
    """The loss of rotated inputs (N, R) and targets (N, K) at weights and biases (K, R + 1)."""

    def __init__(self, rotated: Floats, targets: Floats, c: float, *, exclusive: bool) -> None:
        self._rotated, self._targets, self._c, self._exclusive = rotated, targets, c, exclusive

    def scale(self, at: Floats, energy: Floats) -> Floats:
        """Square roots (K, R + 1) of the Hessian's diagonal, as far as tracks and axes are independent."""
        logits = self._logits(at)
        p = softmax(logits, axis=1) if self._exclusive else expit(logits)
        curvature = np.maximum((p * (1 - p)).mean(axis=0), _LEAST_CURVATURE)[:, None]
        of_weights = curvature * energy + 1 / self._c
        return np.asarray(np.sqrt(np.hstack((of_weights, curvature * len(logits)))))

    def loss(self, at: Floats) -> tuple[float, Floats]:
        """The penalised loss, and its gradient (K, R + 1)."""
        logits = self._logits(at)
        if self._exclusive:
            logarithms = log_softmax(logits, axis=1)
            value = -float((self._targets * logarithms).sum())
            errors = np.exp(logarithms) - self._targets
        else:
            small = np.exp(-np.abs(logits))
            value = float((np.maximum(logits, 0) + np.log1p(small) - self._targets * logits).sum())
            errors = np.where(logits >= 0, 1.0, small) / (1 + small) - self._targets
        weights = at[:, :-1]
        gradient = np.column_stack((errors.T @ self._rotated + weights / self._c, errors.sum(axis=0)))
        return value + float((weights**2).sum()) / (2 * self._c), np.asarray(gradient)

    def _logits(self, at: Floats) -> Floats:
        return np.asarray(self._rotated @ at[:, :-1].T + at[:, -1])


def prior_bias(positives: Floats, tracks: int, *, exclusive: bool) -> Floats:
    """Biases (L,) that give the prevalence of each label: its log-odds, or its logarithm for a softmax.

    `positives` (L,) of `tracks` have the label; half a track is added to either side, to keep it finite.
    """
    share = (np.asarray(positives, np.float64) + 0.5) / (tracks + 1)
    return np.asarray(np.log(share) if exclusive else np.log(share) - np.log1p(-share))
