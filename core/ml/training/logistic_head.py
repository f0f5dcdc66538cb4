"""Fits a logistic head: the penalty by cross-validation within the training tracks, then the exact solution.

Shapes: M training tracks, D embedding size, L labels.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
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
SEARCHED = 5000  # tracks: of more, the penalty is chosen on random ones; it hardly depends on their number
FEW_TRACKS = 3  # per label, on average: with fewer, nothing can be chosen by cross-validation
C_OF_FEW = {True: 1.0, False: 0.1}  # by whether labels are exclusive
WORSE = 2  # values of C in a row without a better loss, after which weaker penalties are not tried
CHOICE_TOLERANCE = 1e-4  # of the gradient, times the root of the tracks: enough to compare losses


@dataclass(frozen=True)
class LogisticFit:
    head: Head
    reports: list[EpochReport]
    out_of_fold: HeldOutScores | None  # of the training tracks, if asked for and not all are of one group
    note: str | None = None  # a sentence, if a part of the tracks chose the penalty


@dataclass(frozen=True)
class _Examples:
    """Training tracks: inputs (M, D), targets (M, L) and groups (M,), whose tracks are not independent."""

    inputs: Floats
    targets: Bools
    groups: npt.NDArray[np.int64]

    def sample(self, most: int, seed: int) -> "_Examples":
        """Random tracks, or all if there are no more than `most`."""
        if len(self.targets) <= most:
            return self
        rows = np.sort(np.random.default_rng(seed).choice(len(self.targets), most, replace=False))
        return _Examples(self.inputs[rows], self.targets[rows], self.groups[rows])

    def folds(self, seed: int) -> list[int]:
        return assign_folds(self.targets, self.groups.tolist(), FOLDS, seed)


@dataclass(frozen=True)
class _Choice:
    c: float
    scores: Floats  # (M, L) of each track, by a fit with this C on the other folds
    start: Regression  # the last of these fits


def fit_logistic_head(
    head: Head, tracks: Tracks, groups: Sequence[int], stage: Stage, context: TrainingContext
) -> LogisticFit:
    """Fit `head`, which is already standardised. `groups` (M,): tracks of a group are not independent.

    C is the variance of the weights' Gaussian prior, a property of labels and embeddings rather than of the
    number of tracks: of many tracks it is chosen on a random part, which takes the same time for any number.
    """
    began = time.perf_counter()
    config = context.config.model
    assert isinstance(config, TransferConfig)
    exclusive = is_single_label(config)
    inputs = head.standardised(tracks.inputs.batch(stage.train, np.zeros(len(stage.train)))).double().numpy()
    targets = tracks.targets[stage.train].numpy() > 0
    examples = _Examples(inputs, targets, np.asarray(groups, np.int64))
    seed = stage.seed(context.config.seed)
    searched = examples.sample(SEARCHED, seed)
    folds = searched.folds(seed)
    candidates = _candidates(config.inverse_regularization, targets, folds, exclusive=exclusive)
    read_s = time.perf_counter() - began
    c, start, out_of_fold, note = candidates[0], None, None, None
    if len(candidates) > 1 and searched is not examples:
        note = (
            f"{len(searched.targets)} of {len(targets)} training tracks, drawn at random, chose the penalty."
        )
    validate_folds = partial(_cross_validate, context=context, exclusive=exclusive)
    # The same sums in the same order on every machine; the products are too small to be divided.
    with threadpool_limits(limits=1, user_api="blas"):
        if len(set(folds)) > 1 and (len(candidates) > 1 or stage.scores_training):
            choice = validate_folds(searched, folds, candidates)
            c, start = choice.c, choice.start
            if stage.scores_training:
                if searched is not examples:
                    folds = examples.folds(seed)
                    choice = validate_folds(examples, folds, (c,), start)
                out_of_fold = HeldOutScores(stage.train, choice.scores, [fold + 1 for fold in folds])
        context.note(Activity.TRAINING)
        found = Design(inputs).fit(targets, c, exclusive=exclusive, start=start, on_iteration=context.check)
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
    return LogisticFit(head, [report], out_of_fold, note)


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
    examples: _Examples,
    folds: Sequence[int],
    candidates: Sequence[float],
    start: Regression | None = None,
    *,
    context: TrainingContext,
    exclusive: bool,
) -> _Choice:
    """The C with the least log loss. Fits begin at `start`, further ones at the solution for the C before."""
    count = len(set(folds))
    parts: Iterable[_Fold] = _parts(examples, folds)
    if len(candidates) > 1:
        parts = list(parts)
    starts = [start] * count
    best_loss, best = np.inf, None
    worse = 0
    for place, c in enumerate(candidates):
        scores = np.empty(examples.targets.shape)
        for number, part in enumerate(parts):
            context.note(Activity.TRAINING, place * count + number, len(candidates) * count)
            found = part.fit(c, starts[number], context.check, exclusive=exclusive)
            scores[part.inside] = found.scores(part.tested, exclusive=exclusive)
            starts[number] = found
        loss = log_loss(examples.targets, scores, exclusive=exclusive)
        if best is None or loss < best_loss:
            best_loss, best, worse = loss, _Choice(c, scores, found), 0
        elif (worse := worse + 1) == WORSE:
            break
    assert best is not None
    return best


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


def _parts(examples: _Examples, folds: Sequence[int]) -> Iterator[_Fold]:
    numbers = np.asarray(folds)
    for number in np.unique(numbers):
        inside = numbers == number
        design = Design(examples.inputs[~inside])
        yield _Fold(design, examples.targets[~inside], inside, examples.inputs[inside])
