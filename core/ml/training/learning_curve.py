"""Measures how a logistic head improves with the number of tracks that it learns from.

Shapes: N tracks, D embedding size, L labels, S sizes, K repetitions.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from core.config.models import TransferConfig, is_single_label
from core.ml.evaluation.arrays import Bools, Floats, argmax_decisions
from core.ml.evaluation.learning_curve import LearningCurve, fit_learning_curve
from core.ml.evaluation.measurable import learnt_labels, measured_tracks
from core.ml.evaluation.thresholds import expected_f_threshold
from core.ml.models.transfer import MIN_SCALE
from core.ml.training.context import TrainingContext
from core.ml.training.fitting import Fitted
from core.ml.training.logistic_head import C_OF_FEW, FEW_TRACKS
from core.ml.training.logistic_regression import Design
from core.ml.training.prediction import HeldOutScores
from core.ml.training.prepared_dataset import PreparedDataset
from core.states import Activity

SIZES, REPEATS = 6, 3
FEWEST = 8  # tracks, and at least two per label
SPAN = 4  # times as many are needed for the largest size, as less of a curve says nothing of the rest
MOST_TRACKS = 1000  # a random part of larger datasets, so that it takes seconds
TOLERANCE = 1e-4  # of the gradient, times the root of the tracks, as when the penalty is chosen
NOT_MEASURED = "Only cross-validated trainings of logistic heads measure it."


def measure_learning_curve(
    prepared: PreparedDataset, fitted: Fitted, context: TrainingContext
) -> dict[str, Any]:
    """The content of `learning_curve` in the results: a `LearningCurve`.

    In every fold, heads learn from random tracks of the others, more and more of them, with the penalty of
    the fold, and decide on its tracks: by the highest score or, if tracks have several labels, by the
    thresholds that are best if scores are probabilities. Labels that cannot be measured out of fold are left
    out. Raises TrainingStopped.
    """
    model = context.config.model
    if len(prepared.splits) == 1 or not isinstance(model, TransferConfig) or model.head != "logistic":
        return asdict(LearningCurve([], [], reason=NOT_MEASURED))
    exclusive = is_single_label(model)
    seed = context.config.seed
    targets = prepared.tracks.targets.numpy() > 0
    folds = np.zeros(len(targets), int)
    folds[fitted.test.rows] = fitted.test.folds
    rows = np.random.default_rng(seed).permutation(len(targets))[:MOST_TRACKS]
    chosen, groups = (folds[rows], [prepared.groups[row] for row in rows])
    sizes = _sizes(int(min((chosen != fold).sum() for fold in np.unique(chosen))), targets.shape[1])
    if len(sizes) < SIZES:
        reason = f"{len(rows)} tracks of {targets.shape[1]} labels are too few to learn from parts of them."
        return asdict(LearningCurve([], [], reason=reason))
    inputs = prepared.tracks.inputs.batch(rows.tolist(), np.zeros(len(rows))).double().numpy()
    learner = _Learner(inputs, targets[rows], _penalties(fitted), exclusive=exclusive)
    decisions = np.zeros((len(sizes), REPEATS, *learner.targets.shape), bool)
    done, total = 0, REPEATS * len(np.unique(chosen)) * len(sizes)
    with threadpool_limits(limits=1, user_api="blas"):
        for fold in np.unique(chosen):
            inside, outside = np.flatnonzero(chosen == fold), np.flatnonzero(chosen != fold)
            for repeat in range(REPEATS):
                order = np.random.default_rng((seed, int(fold), repeat)).permutation(outside)
                for place, size in enumerate(sizes):
                    context.note(Activity.MEASURING, done, total)
                    decisions[place, repeat, inside] = learner.decide(int(fold), order[:size], inside)
                    done += 1
    held_out = HeldOutScores(rows.tolist(), np.zeros(learner.targets.shape), chosen.tolist())
    learnt = learnt_labels(learner.targets, held_out.learnt(learner.targets.astype(float)))
    if not learnt.any():
        return asdict(LearningCurve([], [], reason="All tracks of each label are by one artist."))
    kept = np.flatnonzero(measured_tracks(learner.targets, learnt))
    artists = [groups[row] for row in kept]
    measured = decisions[:, :, kept][..., learnt]
    return asdict(fit_learning_curve(sizes, learner.targets[kept][:, learnt], measured, artists, seed))


def _sizes(most: int, labels: int) -> list[int]:
    """Numbers of tracks to learn from, evenly spaced as logarithms; none if there are too few."""
    least = max(FEWEST, 2 * labels)
    if most < SPAN * least:
        return []
    return sorted(set(np.geomspace(least, most, SIZES).round().astype(int).tolist()))


def _penalties(fitted: Fitted) -> Mapping[int, float]:
    """C of each fold, from 1."""
    return {
        report.fold: report.validation["inverse_regularization"]
        for report in fitted.history
        if report.fold is not None
    }


class _Learner:
    def __init__(
        self, inputs: Floats, targets: Bools, penalties: Mapping[int, float], *, exclusive: bool
    ) -> None:
        self._inputs, self.targets, self._penalties, self._exclusive = inputs, targets, penalties, exclusive

    def decide(self, fold: int, trained_on: Any, asked: Any) -> Bools:
        """Decisions on the rows `asked` by a head trained on the rows `trained_on`."""
        inputs, targets = self._inputs[trained_on], self.targets[trained_on]
        deviation = inputs.std(axis=0)
        scale = np.maximum(deviation, max(MIN_SCALE * deviation.mean(), 1e-6))
        is_few = targets.sum() < FEW_TRACKS * targets.shape[1]
        c = C_OF_FEW[self._exclusive] if is_few else self._penalties[fold]
        found = Design((inputs - inputs.mean(axis=0)) / scale).fit(
            targets, c, exclusive=self._exclusive, tolerance=TOLERANCE * len(trained_on) ** 0.5
        )
        scores = found.scores((self._inputs[asked] - inputs.mean(axis=0)) / scale, exclusive=self._exclusive)
        if self._exclusive:
            return argmax_decisions(scores)
        return np.asarray(scores >= [expected_f_threshold(column) for column in scores.T])
