"""Chooses thresholds and calibration on validation tracks, and measures the model on test tracks."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from core.config.models import Calibration, is_single_label
from core.ml.datasets.examples import Part
from core.ml.evaluation.arrays import argmax_decisions
from core.ml.evaluation.calibration import calibrate, fit_calibration, fit_softmax_temperature, normalise
from core.ml.evaluation.hierarchy import enforce_hierarchy, leaves, roots
from core.ml.evaluation.intervals import Interval, confidence_intervals
from core.ml.evaluation.measurable import learnt_labels, measured_tracks, why_not_measured
from core.ml.evaluation.metrics import co_occurrence, evaluate, frequency_bands, mean_metrics
from core.ml.evaluation.score_counts import count_scores
from core.ml.evaluation.thresholds import choose_thresholds
from core.ml.training.bases import Resolved
from core.ml.training.context import TrainingContext
from core.ml.training.fitting import Fitted
from core.ml.training.prediction import HeldOutScores, Scores
from core.ml.training.prepared_dataset import PreparedDataset
from core.ml.training.results import make_results
from core.states import Activity

Fit = Callable[[Scores, Scores, npt.NDArray[np.bool_]], Calibration]  # targets, scores, known: each (N, L)
Decisions = npt.NDArray[np.bool_]  # (N, L)


@dataclass(frozen=True)
class ModelEvaluation:
    thresholds: tuple[float, ...]
    calibration: Calibration | None
    metrics: dict[str, float]
    results: dict[str, Any]  # the content of test_results.json
    co_occurrence: npt.NDArray[np.int64]  # (L, L): tracks with label i that were given label j
    scores: Scores  # of the test tracks, or out of fold, as users would get them by a rule chosen on others
    decisions: Decisions  # of the same tracks
    learnt: npt.NDArray[np.bool_]  # (L,): whether the models that scored tracks with a label had learnt it
    held_out: Scores  # of the validation tracks, or out of fold, as users would get them
    score_counts: dict[str, Any]  # the content of score_counts.json


@dataclass(frozen=True)
class _DecisionRule:
    """Calibration and thresholds, chosen together."""

    calibration: Calibration | None
    make_consistent: Callable[[Scores], Scores]
    thresholds: Scores  # (L,)

    def postprocess(self, scores: Scores) -> Scores:
        """Scores (N, L) as users get them: calibrated, and consistent across labels."""
        return self.make_consistent(
            scores if self.calibration is None else calibrate(scores, self.calibration)
        )


def evaluate_model(
    resolved: Resolved,
    prepared: PreparedDataset,
    fitted: Fitted,
    context: TrainingContext,
    *,
    searched: bool = False,
) -> ModelEvaluation:
    """Choose calibration and thresholds on validation tracks or other folds; measure on test tracks."""
    config = resolved.config
    targets = prepared.tracks.targets.numpy().astype(np.float64)
    exclusive = is_single_label(config.model)
    make_consistent = (
        normalise
        if exclusive
        else partial(enforce_hierarchy, labels=prepared.labels, parents=prepared.dataset.parents)
    )
    method = config.evaluation.calibration_of(config.model)
    fit: Fit | None = None
    if method is not None:
        fit = _fit_softmax if exclusive else partial(fit_calibration, method)
    choose = partial(_choose, fit, targets, make_consistent, config.seed, exclusive=exclusive)
    context.note(Activity.CALIBRATING)
    rule = choose(fitted.validation, range(len(fitted.validation.rows)))
    on_fold = partial(context.note, Activity.CALIBRATING)
    final_scores, decisions = _out_of_fold_decisions(fitted.test, rule, choose, on_fold)
    if exclusive:
        decisions = argmax_decisions(final_scores)
    # Ranking metrics use uncalibrated scores: calibration may tie scores that differ.
    truth, scores = targets[fitted.test.rows], make_consistent(fitted.test.scores)
    learnt = learnt_labels(truth > 0, fitted.test.learnt(truth))
    kept = np.flatnonzero(measured_tracks(truth > 0, learnt))
    metrics = evaluate(
        truth[kept],
        scores[kept],
        prepared.labels,
        rule.thresholds,
        decisions[kept],
        final_scores[kept],
        learnt,
    )
    groups = [prepared.groups[row] for row in fitted.test.rows]
    repeats = config.evaluation.bootstrap

    def note(done: int) -> None:
        context.note(Activity.MEASURING, done, repeats)

    intervals: Mapping[str, Interval] = {}
    if repeats and learnt.any():
        cells, artists = np.ix_(kept, np.flatnonzero(learnt)), [groups[place] for place in kept]
        intervals = confidence_intervals(
            truth[cells], scores[cells], decisions[cells], artists, repeats, config.seed, note
        )
    counts = co_occurrence(truth, decisions)
    means = {name: mean_metrics(metrics, labels) for name, labels in _groups(prepared).items()}
    unmeasured = why_not_measured(truth > 0, learnt, prepared.labels, groups)
    return ModelEvaluation(
        thresholds=tuple(map(float, rule.thresholds)),
        calibration=rule.calibration,
        metrics=metrics.summary(),
        results=make_results(
            resolved,
            prepared,
            metrics,
            means,
            intervals,
            (truth[kept], final_scores[kept]),
            counts,
            supports=truth.sum(axis=0).astype(int).tolist(),
            unmeasured=unmeasured,
            left_out=len(truth) - len(kept),
            by_default=[] if exclusive else _undecided(prepared, fitted.validation),
            notes=fitted.notes,
            searched=searched,
        ),
        co_occurrence=counts,
        scores=final_scores,
        decisions=decisions,
        held_out=rule.postprocess(fitted.validation.scores),
        learnt=learnt,
        score_counts=count_scores(
            truth[kept], final_scores[kept], prepared.labels, unmeasured, exclusive=exclusive
        ),
    )


def _fit_softmax(targets: Scores, scores: Scores, known: npt.NDArray[np.bool_]) -> Calibration:  # noqa: ARG001
    """Every score counts: those of a track sum to 1."""
    return fit_softmax_temperature(targets, scores)


def _choose(
    fit: Fit | None,
    targets: Scores,
    make_consistent: Callable[[Scores], Scores],
    seed: int,
    scored: HeldOutScores,
    positions: Sequence[int],
    *,
    exclusive: bool,
) -> _DecisionRule:
    """The decision rule chosen on the tracks at these positions of `scored`.

    Exclusive labels need no thresholds: the highest score decides.
    """
    chosen = list(positions)
    truth = targets[scored.rows]
    known = scored.learnt(truth)[chosen]
    truth, scores = truth[chosen], scored.scores[chosen]
    rule = _DecisionRule(
        fit(truth, scores, known) if fit else None, make_consistent, np.zeros(truth.shape[1])
    )
    if exclusive:
        return rule
    return replace(rule, thresholds=choose_thresholds(truth, rule.postprocess(scores), known, seed=seed))


def _out_of_fold_decisions(
    test: HeldOutScores,
    rule: _DecisionRule,
    choose: Callable[[HeldOutScores, Sequence[int]], _DecisionRule],
    on_fold: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[Scores, Decisions]:
    """Post-processed scores and decisions (N, L); those of a fold use a rule chosen on the other folds."""
    folds = np.array(test.folds)
    scores, decisions = np.empty_like(test.scores), np.empty(test.scores.shape, bool)
    numbers = np.unique(folds)
    for done, fold in enumerate(numbers):
        on_fold(done, len(numbers))
        inside = folds == fold
        fold_rule = rule if inside.all() else choose(test, np.flatnonzero(~inside).tolist())
        scores[inside] = fold_rule.postprocess(test.scores[inside])
        decisions[inside] = scores[inside] >= fold_rule.thresholds
    return scores, decisions


def _undecided(prepared: PreparedDataset, validation: HeldOutScores) -> list[str]:
    """Labels whose threshold no validation track has decided."""
    truth = prepared.tracks.targets.numpy()[validation.rows].astype(np.float64)
    shown = (truth > 0) & validation.learnt(truth)
    return [label for column, label in enumerate(prepared.labels) if not shown[:, column].any()]


def _groups(prepared: PreparedDataset) -> dict[str, Collection[str]]:
    """Groups of labels by their number of training tracks and, in a hierarchy, by their level."""
    targets = prepared.tracks.targets
    if len(prepared.splits) == 1:
        targets = targets[prepared.rows(prepared.splits[0].part(Part.TRAIN))]
    counts = dict(zip(prepared.labels, targets.sum(0).int().tolist(), strict=True))
    groups: dict[str, Collection[str]] = dict(frequency_bands(counts))
    if parents := prepared.dataset.parents:
        groups |= {"roots": roots(prepared.labels, parents), "leaves": leaves(prepared.labels, parents)}
    return groups
