"""Chooses thresholds and calibration, and says how good the model is on tracks it has not learnt from."""

from collections.abc import Callable, Collection, Sequence
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
from core.ml.evaluation.intervals import confidence_intervals
from core.ml.evaluation.metrics import co_occurrence, evaluate, frequency_bands, mean_metrics
from core.ml.evaluation.thresholds import choose_thresholds
from core.ml.training.bases import Resolved
from core.ml.training.fitting import Fitted, Scored
from core.ml.training.material import Material
from core.ml.training.prediction import Scores
from core.ml.training.results import make_results
from core.ml.training.run import Run
from core.states import Activity

# Fewer do not tell what a score means: where they happen to be separable, every score would become 0 or 1.
MIN_CALIBRATION_TRACKS = 50
Decisions = npt.NDArray[np.bool_]  # (N, L)


@dataclass(frozen=True)
class Judgement:
    thresholds: tuple[float, ...]
    calibration: Calibration | None
    metrics: dict[str, float]
    results: dict[str, Any]  # the content of test_results.json
    together: npt.NDArray[np.int64]  # (L, L): tracks with label i that were given label j


@dataclass(frozen=True)
class _Decider:
    """Calibration and thresholds, chosen together."""

    calibration: Calibration | None
    raised: Callable[[Scores], Scores]
    thresholds: Scores  # (L,)

    def served(self, scores: Scores) -> Scores:
        """What users are told: calibrated scores (N, L), made to fit each other as labels do."""
        return self.raised(scores if self.calibration is None else calibrate(scores, self.calibration))


def judge(
    resolved: Resolved,
    material: Material,
    fitted: Fitted,
    run: Run,
    *,
    searched: bool = False,
) -> Judgement:
    """Everything that is chosen is chosen on validation tracks, or on the other folds of a track."""
    config = resolved.config
    targets = material.tracks.targets.numpy().astype(np.float64)
    exclusive = is_single_label(config.model)
    raised = (
        normalise
        if exclusive
        else partial(enforce_hierarchy, labels=material.labels, parents=material.dataset.parents)
    )
    method = config.evaluation.calibration
    fit = None
    if method is not None:
        fit = fit_softmax_temperature if exclusive else partial(fit_calibration, method)
    choose = partial(_choose, fit, targets, raised)
    run.note(Activity.CALIBRATING)
    decider = choose(fitted.validation, range(len(fitted.validation.rows)))
    served, decisions = _as_served(fitted.test, decider, choose, partial(run.note, Activity.CALIBRATING))
    if exclusive:
        decisions = argmax_decisions(served)
    # Ranked before calibration, which may tie scores that differ.
    truth, scores = targets[fitted.test.rows], raised(fitted.test.scores)
    metrics = evaluate(truth, scores, material.labels, decider.thresholds, decisions, served)
    groups = [material.groups[row] for row in fitted.test.rows]
    repeats = config.evaluation.bootstrap

    def note(done: int) -> None:
        run.note(Activity.MEASURING, done, repeats)

    intervals = (
        confidence_intervals(truth, scores, decisions, groups, repeats, config.seed, note) if repeats else {}
    )
    together = co_occurrence(truth, decisions)
    means = {name: mean_metrics(metrics, labels) for name, labels in _groups(material).items()}
    return Judgement(
        thresholds=tuple(map(float, decider.thresholds)),
        calibration=decider.calibration,
        metrics=metrics.summary(),
        results=make_results(
            resolved, material, metrics, means, intervals, (truth, served), together, searched=searched
        ),
        together=together,
    )


def _choose(
    fit: Callable[[Scores, Scores], Calibration] | None,
    targets: Scores,
    raised: Callable[[Scores], Scores],
    scored: Scored,
    places: Sequence[int],
) -> _Decider:
    """By the tracks at these places of `scored`."""
    truth = targets[[scored.rows[place] for place in places]]
    scores = scored.scores[list(places)]
    enough = len(truth) >= MIN_CALIBRATION_TRACKS
    fitted = fit(truth, scores) if fit and enough else None
    decider = _Decider(fitted, raised, np.empty(0))
    return replace(decider, thresholds=choose_thresholds(truth, decider.served(scores)))


def _as_served(
    test: Scored,
    decider: _Decider,
    choose: Callable[[Scored, Sequence[int]], _Decider],
    on_fold: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[Scores, Decisions]:
    """Scores and decisions (N, L) as users would get them; a fold's are chosen by the other folds alone."""
    folds = np.array(test.folds)
    served, decisions = np.empty_like(test.scores), np.empty(test.scores.shape, bool)
    numbers = np.unique(folds)
    for done, fold in enumerate(numbers):
        on_fold(done, len(numbers))
        inside = folds == fold
        of_others = decider if inside.all() else choose(test, np.flatnonzero(~inside).tolist())
        served[inside] = of_others.served(test.scores[inside])
        decisions[inside] = served[inside] >= of_others.thresholds
    return served, decisions


def _groups(material: Material) -> dict[str, Collection[str]]:
    """Labels that were learnt from about as many tracks, or have like places in the tree."""
    learnt = material.tracks.targets
    if len(material.splits) == 1:
        learnt = learnt[material.rows(material.splits[0].part(Part.TRAIN))]
    counts = dict(zip(material.labels, learnt.sum(0).int().tolist(), strict=True))
    groups: dict[str, Collection[str]] = dict(frequency_bands(counts))
    if parents := material.dataset.parents:
        groups |= {"roots": roots(material.labels, parents), "leaves": leaves(material.labels, parents)}
    return groups
