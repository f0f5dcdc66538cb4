"""Fits a logistic head: the penalty by cross-validation within the training tracks, then the exact solution.

Shapes: M training tracks, D embedding size, L labels.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from core.config.experiment import BCELoss
from core.config.models import TransferConfig, is_single_label
from core.ml.datasets.stratify import assign_folds
from core.ml.evaluation.arrays import Bools, Floats, log_loss
from core.ml.models.transfer import Head
from core.ml.training.context import Stage, Tracks, TrainingContext
from core.ml.training.logistic_regression import Design, Regression
from core.ml.training.losses import make_loss
from core.ml.training.prediction import HeldOutScores
from core.ml.training.reports import EpochReport
from core.ml.training.validation import validate
from core.states import Activity

log = logging.getLogger(__name__)

PENALTIES = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)  # values of C, from strong to weak
FOLDS = 5
FEW_TRACKS = 3  # per label, on average: with fewer, nothing can be chosen by cross-validation
C_OF_FEW = {True: 1.0, False: 0.1}  # by whether labels are exclusive
WORSE = 2  # values of C in a row without a better loss, after which weaker penalties are not tried
CHOICE_TOLERANCE = 1e-4  # of the gradient, times the root of the tracks: enough to compare losses


@dataclass(frozen=True)
class LogisticFit:
    head: Head
    reports: list[EpochReport]
    out_of_fold: HeldOutScores | None  # of the training tracks; None if all are of one group


def fit_logistic_head(
    head: Head, tracks: Tracks, groups: Sequence[int], stage: Stage, context: TrainingContext
) -> LogisticFit:
    """Fit `head`, which is already standardised. `groups` (M,): tracks of a group are not independent."""
    began = time.perf_counter()
    config = context.config.model
    assert isinstance(config, TransferConfig)
    exclusive = is_single_label(config)
    inputs = head.standardised(tracks.inputs.batch(stage.train, np.zeros(len(stage.train)))).double().numpy()
    targets = tracks.targets[stage.train].numpy() > 0
    folds = assign_folds(targets, groups, FOLDS, stage.seed(context.config.seed))
    candidates = _candidates(config.inverse_regularization, targets, folds, exclusive=exclusive)
    read_s = time.perf_counter() - began
    c, out_of_fold = candidates[0], None
    # The same sums in the same order on every machine; the products are too small to be divided.
    with threadpool_limits(limits=1, user_api="blas"):
        if len(set(folds)) > 1:
            c, scores = _cross_validate(inputs, targets, folds, candidates, context, exclusive=exclusive)
            out_of_fold = HeldOutScores(stage.train, scores, [fold + 1 for fold in folds])
        context.note(Activity.TRAINING)
        found = Design(inputs).fit(targets, c, exclusive=exclusive, on_iteration=context.check)
    if not found.converged:
        log.warning("The logistic head was not solved exactly in %d iterations.", found.iterations)
    head.set_regression(torch.from_numpy(found.weights), torch.from_numpy(found.bias))
    head = head.to(context.device).eval()
    validating = time.perf_counter()
    loss, metrics = validate(
        head, tracks, stage.validation, context, make_loss(BCELoss(), exclusive=exclusive)
    )
    report = EpochReport(
        epoch=1,
        epochs=1,
        fold=stage.fold,
        folds=stage.folds,
        train_loss=log_loss(targets, found.scores(inputs, exclusive=exclusive), exclusive=exclusive),
        validation_loss=loss,
        validation={**metrics, "inverse_regularization": c},
        learning_rate=0.0,
        steps=found.iterations,
        duration_s=validating - began,
        data_wait_s=read_s,
        validation_s=time.perf_counter() - validating,
        is_best=True,
    )
    context.on_epoch(report)
    return LogisticFit(head, [report], out_of_fold)


def _candidates(
    given: float | None, targets: Bools, folds: Sequence[int], *, exclusive: bool
) -> Sequence[float]:
    """The values of C to choose from."""
    if given is not None:
        return (given,)
    if targets.sum() < FEW_TRACKS * targets.shape[1] or len(set(folds)) == 1:
        return (C_OF_FEW[exclusive],)
    return PENALTIES


def _cross_validate(
    inputs: Floats,
    targets: Bools,
    folds: Sequence[int],
    candidates: Sequence[float],
    context: TrainingContext,
    *,
    exclusive: bool,
) -> tuple[float, Floats]:
    """The C with the least log loss, and with it the scores (M, L) of each track by a fit on other folds."""
    parts = list(_parts(inputs, targets, folds))
    starts: list[Regression | None] = [None] * len(parts)
    best_loss, best_c, best_scores = np.inf, candidates[0], np.empty(targets.shape)
    worse = 0
    for place, c in enumerate(candidates):
        scores = np.empty(targets.shape)
        for number, part in enumerate(parts):
            context.note(Activity.TRAINING, place * len(parts) + number, len(candidates) * len(parts))
            found = part.fit(c, starts[number], context.check, exclusive=exclusive)
            scores[part.inside] = found.scores(part.tested, exclusive=exclusive)
            starts[number] = found
        loss = log_loss(targets, scores, exclusive=exclusive)
        if loss < best_loss:
            best_loss, best_c, best_scores, worse = loss, c, scores, 0
        elif (worse := worse + 1) == WORSE:
            break
    return best_c, best_scores


@dataclass(frozen=True)
class _Fold:
    """One fold of the cross-validation within the training tracks."""

    design: Design
    targets: Bools  # of the tracks to learn from
    inside: Bools  # (M,): the tracks to score
    tested: Floats  # their inputs

    def fit(
        self, c: float, start: Regression | None, check: Callable[[], None], *, exclusive: bool
    ) -> Regression:
        tolerance = CHOICE_TOLERANCE * len(self.targets) ** 0.5
        return self.design.fit(
            self.targets, c, exclusive=exclusive, start=start, tolerance=tolerance, on_iteration=check
        )


def _parts(inputs: Floats, targets: Bools, folds: Sequence[int]) -> Iterator[_Fold]:
    numbers = np.asarray(folds)
    for number in np.unique(numbers):
        inside = numbers == number
        yield _Fold(Design(inputs[~inside]), targets[~inside], inside, inputs[inside])
