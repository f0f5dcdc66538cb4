"""Chooses thresholds and calibration, and says how good the model is on tracks it has not learnt from."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from core.datasets.examples import Part
from core.evaluation import calibration
from core.evaluation.calibration import brier_score, calibration_error
from core.evaluation.hierarchy import leaves, raise_parents, roots
from core.evaluation.intervals import Interval, confidence_intervals
from core.evaluation.metrics import Metrics, co_occurrence, evaluate, frequency_bands, means_of
from core.evaluation.thresholds import choose_thresholds
from core.experiment_config import ExperimentConfig
from core.models.artifact import Calibration
from core.training.fitting import Fitted, Scored
from core.training.material import Material
from core.training.prediction import Scores

# Fewer do not tell what a score means: where they happen to be separable, every score would become 0 or 1.
MIN_CALIBRATION_TRACKS = 50
RANKING_MEASURES = ("roc_auc_macro", "pr_auc_macro")


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

    calibration: calibration.Calibration | None
    raised: Callable[[Scores], Scores]
    thresholds: Scores  # (L,)

    def served(self, scores: Scores) -> Scores:
        """What users are told: calibrated scores (N, L), no parent below its children."""
        return self.raised(scores if self.calibration is None else self.calibration.apply(scores))

    def centred(self, scores: Scores) -> Scores:
        """Served scores (N, L), stretched so that each label's threshold lies at 0.5."""
        given, at = self.served(scores), np.clip(self.thresholds, 1e-9, 1 - 1e-9)
        return np.where(given < at, 0.5 * given / at, 0.5 + 0.5 * (given - at) / (1 - at)).clip(0, 1)


def judge(config: ExperimentConfig, material: Material, fitted: Fitted) -> Judgement:
    """Everything that is chosen is chosen on validation tracks, or on the other folds of a track."""
    targets = material.tracks.targets.numpy().astype(np.float64)
    raised = partial(raise_parents, labels=material.labels, parents=material.dataset.parents)
    choose = partial(_choose, config, targets, raised)
    decider = choose(fitted.validation, range(len(fitted.validation.rows)))
    ranked_by = raised(fitted.test.scores)
    centred = _centred(fitted.test, decider, choose)
    truth, groups = targets[fitted.test.rows], [material.groups[row] for row in fitted.test.rows]
    metrics = _merge(
        evaluate(truth, ranked_by, material.labels, decider.thresholds),
        evaluate(truth, centred, material.labels, 0.5),
    )
    intervals: dict[str, Interval] = {}
    if repeats := config.evaluation.bootstrap:
        ranked, decided = (
            confidence_intervals(truth, scores, [0.5] * truth.shape[1], groups, repeats, config.seed)
            for scores in (ranked_by, centred)
        )
        intervals = decided | {measure: ranked[measure] for measure in RANKING_MEASURES}
    together = co_occurrence(truth, centred >= 0.5)
    return Judgement(
        thresholds=tuple(map(float, decider.thresholds)),
        calibration=_stored(decider.calibration),
        metrics=metrics.summary(),
        results=_results(
            config, material, metrics, intervals, (truth, decider.served(fitted.test.scores)), together
        ),
        together=together,
    )


def _stored(chosen: calibration.Calibration | None) -> Calibration | None:
    return None if chosen is None else Calibration(slopes=chosen.slopes, offsets=chosen.offsets)


def _choose(
    config: ExperimentConfig,
    targets: Scores,
    raised: Callable[[Scores], Scores],
    scored: Scored,
    places: Sequence[int],
) -> _Decider:
    """By the tracks at these places of `scored`."""
    truth = targets[[scored.rows[place] for place in places]]
    scores = scored.scores[list(places)]
    wanted = config.evaluation.calibrate and len(truth) >= MIN_CALIBRATION_TRACKS
    decider = _Decider(calibration.fit("platt", truth, scores) if wanted else None, raised, np.empty(0))
    return replace(decider, thresholds=choose_thresholds(truth, decider.served(scores)))


def _centred(test: Scored, decider: _Decider, choose: Callable[[Scored, Sequence[int]], _Decider]) -> Scores:
    """Test scores (N, L) of which 0.5 is the threshold; a fold's comes from the other folds alone."""
    if len(set(test.folds)) < 2:
        return decider.centred(test.scores)
    centred = np.empty_like(test.scores)
    for fold in sorted(set(test.folds)):
        inside = np.array(test.folds) == fold
        others = choose(test, np.flatnonzero(~inside).tolist())
        centred[inside] = others.centred(test.scores[inside])
    return centred


def _merge(ranked: Metrics, decided: Metrics) -> Metrics:
    """Areas and thresholds of the one, decisions of the other: calibration may tie scores that differ."""
    per_label = tuple(
        replace(of_rank, precision=of_decision.precision, recall=of_decision.recall, f1=of_decision.f1)
        for of_rank, of_decision in zip(ranked.per_label, decided.per_label, strict=True)
    )
    return replace(
        ranked,
        f1_micro=decided.f1_micro,
        f1_macro=decided.f1_macro,
        f1_samples=decided.f1_samples,
        per_label=per_label,
    )


def _results(
    config: ExperimentConfig,
    material: Material,
    metrics: Metrics,
    intervals: dict[str, Interval],
    scored: tuple[Scores, Scores],
    together: npt.NDArray[np.int64],
) -> dict[str, Any]:
    splits = material.splits
    errors, squares = calibration_error(*scored), brier_score(*scored)
    parts = {part.value: len(splits[0].part(part)) for part in Part} if len(splits) == 1 else None
    found = {
        "evaluated_on": "test" if len(splits) == 1 else "out_of_fold",
        "folds": config.split.folds,
        "metrics": metrics.summary(),
        "intervals": {name: asdict(interval) for name, interval in intervals.items()},
        "per_label": [
            {**asdict(one), "calibration_error": float(error), "brier_score": float(square)}
            for one, error, square in zip(metrics.per_label, errors, squares, strict=True)
        ],
        "groups": _groups(material, metrics),
        "unscored": list(metrics.unscored),
        "co_occurrence": together.tolist(),
        "tracks": {"all": len(material.dataset.examples), **(parts or {})},
        "split": splits[0].report.origin,
        "warnings": list(dict.fromkeys(text for split in splits for text in split.report.warnings)),
        "dropped": dict(material.dropped),
    }
    return dict(_without_nan(found))


def _groups(material: Material, metrics: Metrics) -> dict[str, dict[str, float]]:
    """Means over labels that were learnt from about as many tracks, or have like places in the tree."""
    learnt = material.tracks.targets
    if len(material.splits) == 1:
        learnt = learnt[material.rows(material.splits[0].part(Part.TRAIN))]
    counts = dict(zip(material.labels, learnt.sum(0).int().tolist(), strict=True))
    groups: dict[str, Collection[str]] = dict(frequency_bands(counts))
    if parents := material.dataset.parents:
        groups |= {"roots": roots(material.labels, parents), "leaves": leaves(material.labels, parents)}
    return {name: means_of(metrics, labels) for name, labels in groups.items()}


def _without_nan(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
