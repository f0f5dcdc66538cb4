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

FEW = 10  # tracks of a label, below which what is measured for it is rough
MOST_NAMED = 5  # labels in a warning
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
    warnings += _uncertain(prepared)
    if intervals and any(math.isnan(interval.low) for interval in intervals.values()):
        warnings.append("Too few artists are known for confidence intervals.")
    if intervals and (unknown := splits[0].report.grouped_by.get("track", 0)):
        warnings.append(
            f"The intervals count {unknown} tracks without an artist or album as independent: "
            "if some are by one artist, the intervals are too narrow."
        )
    if searched and len(splits) > 1:
        warnings.append(CHOSEN_ON_FOLDS)
    if prepared.damaged:
        warnings.append(
            f"{len(prepared.damaged)} tracks are damaged and used without their missing audio, for example "
            f"{next(iter(prepared.damaged))}."
        )
    found = {
        "evaluated_on": "test" if len(splits) == 1 else "out_of_fold",
        "folds": len(splits) if len(splits) > 1 else None,
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


def _uncertain(prepared: PreparedDataset) -> list[str]:
    """How far measures of labels with few tracks, or tracks by one artist only, can be trusted."""
    targets = prepared.tracks.targets.numpy() > 0
    groups = np.asarray(prepared.groups)
    counts = dict(zip(prepared.labels, targets.sum(axis=0).tolist(), strict=True))
    few = {label: count for label, count in sorted(counts.items(), key=lambda item: item[1]) if count < FEW}
    warnings = []
    if few:
        named = ", ".join(f"{label} ({count})" for label, count in list(few.items())[:MOST_NAMED])
        more = f" and {len(few) - MOST_NAMED} more labels" if len(few) > MOST_NAMED else ""
        error = 0.5 / math.sqrt(min(few.values()))
        warnings.append(
            f"These labels have fewer than {FEW} tracks: {named}{more}. The standard error of a recall "
            f"measured on {min(few.values())} tracks is up to {error:.2f}, and every further "
            "track improves the model."
        )
    alone = [
        label
        for label, column in zip(prepared.labels, targets.T, strict=True)
        if len(set(groups[column])) == 1 and len(prepared.splits) > 1
    ]
    if alone:
        warnings.append(
            f"All tracks of {', '.join(alone[:MOST_NAMED])} are of one artist or album: no model could be "
            "measured on others, so that the scores are those of models that do not know the label."
        )
    return warnings


def may_be_trained_on_test_tracks(base: BaseArtifact, resolved: Resolved, prepared: PreparedDataset) -> bool:
    """Whether a base model was trained here with any other split than this one."""
    if base.trained_by is None:
        return False
    same = (
        base.card.provenance["dataset_sha256"] == prepared.fingerprint
        and base.trained_by.split == resolved.config.split
        and base.card.labels == prepared.labels
    )
    return not same or len(prepared.splits) > 1
