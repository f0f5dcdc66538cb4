"""The evaluation of a model, as `test_results.json` holds it."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from core.config.experiment import unused_keys
from core.config.models import is_single_label
from core.ml.datasets.examples import Part
from core.ml.datasets.spellings import merged_note
from core.ml.evaluation.calibration import brier_score, calibration_error
from core.ml.evaluation.intervals import Interval
from core.ml.evaluation.metrics import Metrics
from core.ml.evaluation.thresholds import DEFAULT_THRESHOLD
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
    supports: Sequence[int],
    unmeasured: Mapping[str, str],
    left_out: int,
    by_default: Sequence[str],
    notes: Sequence[str] = (),
    searched: bool = False,
) -> dict[str, Any]:
    """`postprocessed`: targets, and scores (N, L) as users get them; `co_occurrence`: counts (L, L).

    `supports` (L,): held-out tracks with each label; `unmeasured`: why labels cannot be measured; `left_out`:
    how many tracks have only labels that the model which scored them had not learnt, and are not measured on;
    `by_default`: labels whose threshold no validation track has decided; `notes`: how the fits ended.
    """
    splits = prepared.splits
    errors, squares = calibration_error(*postprocessed), brier_score(*postprocessed)
    parts = {part.value: len(splits[0].part(part)) for part in Part} if len(splits) == 1 else None
    warnings = unmeasured_notes(unmeasured, left_out, by_default)
    warnings += [*unused_keys(resolved.config), *(text for split in splits for text in split.report.warnings)]
    warnings += notes
    warnings += [
        f"{base.name} may have been trained on test tracks of this model: its scores may be too high."
        for base in resolved.bases
        if may_be_trained_on_test_tracks(base, resolved, prepared)
    ]
    warnings += (*prepared.dataset.notes, *prepared.notes)
    if note := merged_note(prepared.dataset.merged):
        warnings.append(note)
    warnings += few_tracks(prepared, unmeasured)
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
        "single_label": is_single_label(resolved.config.model),
        "metrics": metrics.summary(),
        "intervals": {name: asdict(interval) for name, interval in intervals.items()},
        "per_label": [
            asdict(one)
            | {
                "support": support,
                "calibration_error": None if one.label in unmeasured else float(error),
                "brier_score": None if one.label in unmeasured else float(square),
                "unmeasured": unmeasured.get(one.label),
            }
            for one, support, error, square in zip(metrics.per_label, supports, errors, squares, strict=True)
        ],
        "groups": groups,
        "unmeasured": dict(unmeasured),
        "co_occurrence": co_occurrence.tolist(),
        "tracks": {"all": len(prepared.dataset.examples), **(parts or {})},
        "split": splits[0].report.origin,
        "warnings": list(dict.fromkeys(warnings)),
        "dropped": dict(prepared.dropped),
        "damaged": {name: list(warnings) for name, warnings in prepared.damaged.items()},
    }
    return dict(finite_or_null(found))


def few_tracks(prepared: PreparedDataset, unmeasured: Collection[str]) -> list[str]:
    """How far measures of labels with few tracks can be trusted; `unmeasured` labels have none."""
    counts = dict(zip(prepared.labels, (prepared.tracks.targets > 0).sum(0).tolist(), strict=True))
    ascending = sorted(counts.items(), key=lambda item: item[1])
    few = {label: count for label, count in ascending if count < FEW and label not in unmeasured}
    if not few:
        return []
    named = ", ".join(f"{label} ({count})" for label, count in list(few.items())[:MOST_NAMED])
    more = f" and {len(few) - MOST_NAMED} more labels" if len(few) > MOST_NAMED else ""
    error = 0.5 / math.sqrt(min(few.values()))
    return [
        f"These labels have fewer than {FEW} tracks: {named}{more}. The standard error of a recall "
        f"measured on {min(few.values())} tracks is up to {error:.2f}, and every further "
        "track improves the model."
    ]


def unmeasured_notes(unmeasured: Mapping[str, str], left_out: int, by_default: Sequence[str]) -> list[str]:
    """Which labels cannot be measured, why, and what follows; whose thresholds no track has decided."""
    notes = []
    if unmeasured:
        named = "; ".join(f"{label}: {reason}" for label, reason in unmeasured.items())
        notes.append(
            f"These labels cannot be measured ({named}). They are part of no mean and of no interval, and "
            "how well the model gives them is not known; tracks of them by other artists would tell."
        )
    if left_out:
        notes.append(
            f"Held-out tracks that have no other labels, so that no measure is of them either: {left_out}."
        )
    if by_default:
        notes.append(
            f"No validation track shows where these thresholds should be, which are {DEFAULT_THRESHOLD:g}: "
            f"{', '.join(by_default)}."
        )
    return notes


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
