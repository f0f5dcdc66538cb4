"""The evaluation of a model, as `test_results.json` holds it."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from core.config.experiment import unused_keys
from core.ml.datasets.examples import Part
from core.ml.datasets.spellings import merged_note
from core.ml.evaluation.calibration import brier_score, calibration_error
from core.ml.evaluation.intervals import Interval
from core.ml.evaluation.metrics import Metrics
from core.ml.training.bases import BaseArtifact, Resolved
from core.ml.training.json_values import finite_or_null
from core.ml.training.prediction import Scores
from core.ml.training.prepared_dataset import PreparedDataset

CHOSEN_ON_FOLDS = "A study chose the parameters by their scores on these folds, so the scores are optimistic."


def make_results(
    resolved: Resolved,
    prepared: PreparedDataset,
    metrics: Metrics,
    groups: Mapping[str, Mapping[str, float]],
    intervals: Mapping[str, Interval],
    postprocessed: tuple[Scores, Scores],
    co_occurrence: npt.NDArray[np.int64],
    *,
    searched: bool = False,
) -> dict[str, Any]:
    """`postprocessed`: targets, and scores (N, L) as users get them; `co_occurrence`: counts (L, L)."""
    splits = prepared.splits
    errors, squares = calibration_error(*postprocessed), brier_score(*postprocessed)
    parts = {part.value: len(splits[0].part(part)) for part in Part} if len(splits) == 1 else None
    warnings = [*unused_keys(resolved.config), *(text for split in splits for text in split.report.warnings)]
    warnings += [
        f"{base.name} may have been trained on test tracks of this model: its scores may be too high."
        for base in resolved.bases
        if may_be_trained_on_test_tracks(base, resolved, prepared)
    ]
    warnings += prepared.dataset.notes
    if note := merged_note(prepared.dataset.merged):
        warnings.append(note)
    if intervals and any(math.isnan(interval.low) for interval in intervals.values()):
        warnings.append("Too few artists are known for confidence intervals.")
    if searched and resolved.config.split.folds:
        warnings.append(CHOSEN_ON_FOLDS)
    if prepared.damaged:
        warnings.append(
            f"{len(prepared.damaged)} tracks are damaged and used without their missing audio, for example "
            f"{next(iter(prepared.damaged))}."
        )
    found = {
        "evaluated_on": "test" if len(splits) == 1 else "out_of_fold",
        "folds": resolved.config.split.folds,
        "metrics": metrics.summary(),
        "intervals": {name: asdict(interval) for name, interval in intervals.items()},
        "per_label": [
            {**asdict(one), "calibration_error": float(error), "brier_score": float(square)}
            for one, error, square in zip(metrics.per_label, errors, squares, strict=True)
        ],
        "groups": groups,
        "unscored": list(metrics.unscored),
        "co_occurrence": co_occurrence.tolist(),
        "tracks": {"all": len(prepared.dataset.examples), **(parts or {})},
        "split": splits[0].report.origin,
        "warnings": list(dict.fromkeys(warnings)),
        "dropped": dict(prepared.dropped),
        "damaged": {name: list(warnings) for name, warnings in prepared.damaged.items()},
    }
    return dict(finite_or_null(found))


def may_be_trained_on_test_tracks(base: BaseArtifact, resolved: Resolved, prepared: PreparedDataset) -> bool:
    """Whether a base model was trained here with any other split than this one."""
    if base.trained_by is None:
        return False
    same = (
        base.card.provenance["dataset_sha256"] == prepared.fingerprint
        and base.trained_by.split == resolved.config.split
        and base.card.labels == prepared.labels
    )
    return not same or resolved.config.split.folds is not None
