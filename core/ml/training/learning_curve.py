"""Measures how a logistic head improves with the number of tracks that it learns from.

Shapes: M training tracks, N others, D embedding size, L labels.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
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
from core.ml.training.prepared_dataset import PreparedDataset
from core.states import Activity

Rows = npt.NDArray[np.int64]

SIZES, REPEATS = 6, 3
FEWEST = 8  # tracks, and at least two per label
SPAN = 4  # times as many are needed for the largest size, as less of a curve says nothing of the rest
MOST_TRACKS = 1000  # a random part of larger datasets, so that it takes seconds
MOST_LEARNT = 4 * MOST_TRACKS  # training tracks of a single split: one fit per size where folds need five
TOLERANCE = 1e-4  # of the gradient, times the root of the tracks, as when the penalty is chosen
NOT_MEASURED = "Only trainings of logistic heads measure it."


@dataclass(frozen=True)
class _Part:
    """Rows to learn from and other rows to decide on, and C of the fit on all of the former."""

    learn: Rows
    asked: Rows
    c: float


def measure_learning_curve(
    prepared: PreparedDataset, fitted: Fitted, context: TrainingContext
) -> dict[str, Any]:
    """The content of `learning_curve` in the results: a `LearningCurve`.

    Heads learn from random training tracks, more and more of them, with the penalty of the training, and
    decide on others: in every fold on its tracks, with a single split on those of validation and test. They
    decide by the highest score or, if tracks have several labels, by the thresholds that are best if scores
    are probabilities. Labels that cannot be measured are left out. Raises TrainingStopped.
    """
    model = context.config.model
    if not isinstance(model, TransferConfig) or model.head != "logistic":
        return asdict(LearningCurve([], [], reason=NOT_MEASURED))
    exclusive = is_single_label(model)
    seed = context.config.seed
    targets = prepared.tracks.targets.numpy() > 0
    parts = _parts(prepared, fitted, seed)
    most = min(len(part.learn) for part in parts)
    sizes = _sizes(most, targets.shape[1])
    if len(sizes) < SIZES:
        reason = f"{most} tracks of {targets.shape[1]} labels are too few to learn from parts of them."
        return asdict(LearningCurve([], [], reason=reason))
    rows = np.unique(np.concatenate([np.append(part.learn, part.asked) for part in parts]))
    vectors = prepared.tracks.inputs.batch(rows.tolist(), np.zeros(len(rows))).double().numpy()
    asked = np.concatenate([part.asked for part in parts])
    truth, known = targets[asked], np.zeros((len(asked), targets.shape[1]), bool)
    decisions = np.zeros((len(sizes), REPEATS, *truth.shape), bool)
    done, total, end = 0, REPEATS * len(parts) * len(sizes), 0
    with threadpool_limits(limits=1, user_api="blas"):
        for number, part in enumerate(parts):
            begin, end = end, end + len(part.asked)
            known[begin:end] = targets[part.learn].any(axis=0)
            inputs = vectors[np.searchsorted(rows, part.asked)]
            for repeat in range(REPEATS):
                order = np.random.default_rng((seed, number, repeat)).permutation(part.learn)
                for place, size in enumerate(sizes):
                    context.note(Activity.MEASURING, done, total)
                    learn = order[:size]
                    examples = vectors[np.searchsorted(rows, learn)]
                    decisions[place, repeat, begin:end] = _decide(
                        examples, targets[learn], inputs, part.c, exclusive=exclusive
                    )
                    done += 1
    learnt = learnt_labels(truth, known)
    if not learnt.any():
        return asdict(LearningCurve([], [], reason="All tracks of each label are by one artist."))
    kept = np.flatnonzero(measured_tracks(truth, learnt))
    artists = [prepared.groups[row] for row in asked[kept]]
    measured = decisions[:, :, kept][..., learnt]
    return asdict(fit_learning_curve(sizes, truth[kept][:, learnt], measured, artists, seed))


def _parts(prepared: PreparedDataset, fitted: Fitted, seed: int) -> list[_Part]:
    """One for each fold, or one for a single split; of many tracks random ones."""
    random = np.random.default_rng(seed)
    penalties = {report.fold: report.validation["inverse_regularization"] for report in fitted.history}
    if len(prepared.splits) == 1:
        split = prepared.splits[0]
        learn = random.permutation(prepared.rows(split.train))[:MOST_LEARNT]
        others = random.permutation(prepared.rows((*split.validation, *split.test)))[:MOST_TRACKS]
        return [_Part(learn, others, penalties[None])]
    folds = np.zeros(len(prepared.tracks.targets), int)
    folds[fitted.test.rows] = fitted.test.folds
    rows = random.permutation(len(folds))[:MOST_TRACKS]
    return [
        _Part(rows[folds[rows] != fold], rows[folds[rows] == fold], penalties[fold])
        for fold in np.unique(folds[rows]).tolist()
    ]


def _sizes(most: int, labels: int) -> list[int]:
    """Numbers of tracks to learn from, evenly spaced as logarithms; none if there are too few."""
    least = max(FEWEST, 2 * labels)
    if most < SPAN * least:
        return []
    return sorted(set(np.geomspace(least, most, SIZES).round().astype(int).tolist()))


def _decide(examples: Floats, targets: Bools, asked: Floats, c: float, *, exclusive: bool) -> Bools:
    """Decisions (N, L) on inputs `asked` (N, D) by a head trained on examples (M, D) and targets (M, L)."""
    mean, deviation = examples.mean(axis=0), examples.std(axis=0)
    scale = np.maximum(deviation, max(MIN_SCALE * deviation.mean(), 1e-6))
    is_few = targets.sum() < FEW_TRACKS * targets.shape[1]
    found = Design((examples - mean) / scale).fit(
        targets,
        C_OF_FEW[exclusive] if is_few else c,
        exclusive=exclusive,
        tolerance=TOLERANCE * len(examples) ** 0.5,
    )
    scores = found.scores((asked - mean) / scale, exclusive=exclusive)
    if exclusive:
        return argmax_decisions(scores)
    return np.asarray(scores >= [expected_f_threshold(column) for column in scores.T])
