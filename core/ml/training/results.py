"""What is found out about a model, as `test_results.json` holds it."""

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
from core.ml.training.bases import Base, Resolved
from core.ml.training.material import Material
from core.ml.training.prediction import Scores

CHOSEN_ON_FOLDS = "A study chose the parameters by their scores on these very folds: the scores are too high."


def make_results(
    resolved: Resolved,
    material: Material,
    metrics: Metrics,
    groups: Mapping[str, Mapping[str, float]],
    intervals: Mapping[str, Interval],
    served: tuple[Scores, Scores],
    together: npt.NDArray[np.int64],
    *,
    searched: bool = False,
) -> dict[str, Any]:
    """`served` are targets and scores (N, L) as users would get them; `together` counts (L, L) labels."""
    splits = material.splits
    errors, squares = calibration_error(*served), brier_score(*served)
    parts = {part.value: len(splits[0].part(part)) for part in Part} if len(splits) == 1 else None
    warnings = [*unused_keys(resolved.config), *(text for split in splits for text in split.report.warnings)]
    warnings += [
        f"{base.name} may have learnt from tracks that this model is tested on: its scores may be too high."
        for base in resolved.bases
        if may_have_learnt_from_tests(base, resolved, material)
    ]
    if note := merged_note(material.dataset.merged):
        warnings.append(note)
    if intervals and any(math.isnan(interval.low) for interval in intervals.values()):
        warnings.append("Too few artists are known for intervals.")
    if searched and resolved.config.split.folds:
        warnings.append(CHOSEN_ON_FOLDS)
    if material.damaged:
        warnings.append(
            f"{len(material.damaged)} tracks are damaged and used without what is missing; "
            f"{next(iter(material.damaged))} is one."
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
        "co_occurrence": together.tolist(),
        "tracks": {"all": len(material.dataset.examples), **(parts or {})},
        "split": splits[0].report.origin,
        "warnings": list(dict.fromkeys(warnings)),
        "dropped": dict(material.dropped),
        "damaged": {name: list(warnings) for name, warnings in material.damaged.items()},
    }
    return dict(_without_nan(found))


def may_have_learnt_from_tests(base: Base, resolved: Resolved, material: Material) -> bool:
    """Whether a stored model was trained here, otherwise than with exactly this split."""
    if base.trained_by is None:
        return False
    same = (
        base.card.provenance["dataset_sha256"] == material.fingerprint
        and base.trained_by.split == resolved.config.split
        and base.card.labels == material.labels
    )
    return not same or resolved.config.split.folds is not None


def _without_nan(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, Mapping):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
