"""What a preview has found, as the result of its job (`api.schemas.PreviewOutcome`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

import numpy as np

from core.ml.evaluation.comparison import Comparison, Counts
from core.store.embeddings import HEAD
from core.store.tables import Model

DIGITS = 6
MOST_NAMED = 5  # labels in a warning
SIDES = ("model", "against")


class LeftOut(StrEnum):
    """Why a track is not compared."""

    NOT_ANALYSED = "not_analysed"  #: its audio has not been read yet
    UNKNOWN_TO_MODEL = "unknown_to_model"
    UNKNOWN_TO_AGAINST = "unknown_to_against"
    UNKNOWN_TO_BOTH = "unknown_to_both"


@dataclass(frozen=True)
class Learning:
    """What is known of the tracks that a model was trained on."""

    of_corrections: bool | None  # whether it was trained on corrections; None if that cannot be told
    is_recorded: bool  # whether it is stored which audio that was
    unmeasured: Mapping[str, str]  # labels that its training could not measure, and why


def describe(
    models: tuple[Model, Model],
    comparison: Comparison[UUID],
    places: Mapping[UUID, tuple[str, str]],
    left_out: Mapping[LeftOut, int],
    of_windows: int,
    learning: tuple[Learning, Learning],
) -> dict[str, Any]:
    """`places`: library and path of changed tracks."""
    names = [model.reference for model in models]
    has_means = bool((comparison.common & (comparison.evaluated.positives > 0)).any())
    return {
        **_by_side(names),
        "compared": comparison.tracks,
        "unchanged": comparison.unchanged,
        "corrected": comparison.corrected_tracks,
        "of_windows": of_windows,
        "left_out": {str(reason): left_out[reason] for reason in LeftOut if left_out.get(reason)},
        "agreement": _share(comparison.agreeing, comparison.tracks) if comparison.common.any() else None,
        "labels": _labels(comparison, learning[0].unmeasured),
        "changes": [
            {
                "track_id": str(change.track),
                "library": places[change.track][0],
                "path": places[change.track][1],
                "label": change.label,
                "scores": _by_side([round(score, DIGITS) for score in change.scores]),
                "given": _by_side(change.given),
            }
            for change in comparison.changes
            if change.track in places
        ],
        "corrections": _corrections(comparison)
        | {"trained_on_corrections": _by_side(each.of_corrections for each in learning)},
        "warnings": [
            *_unmeasured_warnings(comparison, names[0], learning[0].unmeasured),
            *_warnings(models, names, left_out, of_windows),
            *([] if comparison.common.any() else ["The models have no label in common."]),
            *_unrefused(comparison),
            *(_picked_warnings(comparison) if has_means else ()),
            *_training_warnings(comparison, names, learning),
            *(_threshold_warnings(comparison, models) if has_means else ()),
        ],
    }


def _by_side(values: Any) -> dict[str, Any]:
    return dict(zip(SIDES, values, strict=True))


def _labels(comparison: Comparison[UUID], unmeasured: Mapping[str, str]) -> list[dict[str, Any]]:
    """Those first that change on most tracks."""
    labels = [
        {
            "label": label,
            "of": [side for side, has in zip(SIDES, comparison.of_model[:, at], strict=True) if has],
            "gained": int(comparison.gained[at]),
            "lost": int(comparison.lost[at]),
            "kept": int(comparison.kept[at]),
            "agreement": _share(comparison.equal[at], comparison.tracks) if comparison.common[at] else None,
            "unmeasured": unmeasured.get(label),
        }
        for at, label in enumerate(comparison.labels)
    ]
    return sorted(labels, key=lambda each: -each["gained"] - each["lost"])


def _corrections(comparison: Comparison[UUID]) -> dict[str, Any]:
    """Precision, recall and F1 of the models' own decisions; means over common labels that people gave.

    In the mean, the precision of a label that a model never gives is 0, so that both are of the same labels.
    """
    counts = comparison.evaluated
    measured = _measures(counts)
    return {
        **_means(counts, comparison),
        "at_random": _means(comparison.at_random, comparison),
        "not_evaluated": comparison.not_evaluated,
        "out_of_fold": _by_side(comparison.out_of_fold.tolist()),
        "labels": [
            {
                "label": comparison.labels[at],
                "yes": int(counts.positives[at]),
                "no": int(counts.negatives[at]),
                **_by_side(
                    [
                        {name: _number(values[at]) for name, values in one.items()} if has else None
                        for one, has in zip(measured, comparison.of_model[:, at], strict=True)
                    ]
                ),
            }
            for at in np.flatnonzero(counts.positives + counts.negatives > 0)
        ],
    }


def _means(counts: Counts, comparison: Comparison[UUID]) -> dict[str, Any]:
    """Means over common labels that people gave."""
    counted = np.flatnonzero(comparison.common & (counts.positives > 0))
    means = [{name: _mean(values[counted]) for name, values in one.items()} for one in _measures(counts)]
    return {"tracks": counts.tracks, "macro_labels": len(counted), "macro": _by_side(means)}


def _measures(counts: Counts) -> list[dict[str, Any]]:
    """Precision, recall and F1 per label (U,) of each model; NaN where undefined."""
    yes, given = counts.positives, counts.hits + counts.false_alarms
    with np.errstate(invalid="ignore"):
        f1 = np.where(yes > 0, 2 * counts.hits / (given + yes), np.nan)
        rows = zip(counts.hits / given, counts.hits / yes, f1, strict=True)
        return [dict(zip(("precision", "recall", "f1"), row, strict=True)) for row in rows]


def _warnings(
    models: tuple[Model, Model], names: list[str], left_out: Mapping[LeftOut, int], of_windows: int
) -> list[str]:
    """What was left out, and what was compared by less than there is."""
    warnings = []
    if count := left_out.get(LeftOut.NOT_ANALYSED):
        warnings.append(f"Tracks left out, as their audio has not been read yet: {count:,}.")
    reasons = (LeftOut.UNKNOWN_TO_MODEL, LeftOut.UNKNOWN_TO_AGAINST)
    for model, name, reason in zip(models, names, reasons, strict=True):
        if count := left_out.get(reason, 0) + left_out.get(LeftOut.UNKNOWN_TO_BOTH, 0):
            no_embedding = f"no embedding by the backbone of {name} is stored"
            why = no_embedding if model.kind == HEAD else f"{name} has not labelled them"
            warnings.append(f"Tracks left out, as {why}: {count:,}.")
    if of_windows:
        warnings.append(f"Tracks compared by some windows only, as they were analysed: {of_windows:,}.")
    return warnings


def _unmeasured_warnings(comparison: Comparison[UUID], name: str, unmeasured: Mapping[str, str]) -> list[str]:
    """One for each label of the new model that it would give, though nobody knows how well."""
    return [
        f"How well {name} gives {label} is not known: {unmeasured[label]}. Tracks that would have it: "
        f"{comparison.gained[at] + comparison.kept[at]:,}."
        for at, label in enumerate(comparison.labels)
        if label in unmeasured and comparison.gained[at] + comparison.kept[at]
    ]


def _picked_warnings(comparison: Comparison[UUID]) -> list[str]:
    """Evaluated tracks that were picked because a model was unsure of them or wrong, or nobody knows why."""
    tracks = comparison.evaluated.tracks
    picked = tracks - comparison.at_random.tracks
    if not picked:
        return []
    return [
        f"{picked:,} of {tracks:,} evaluated tracks were not picked at random: the older model looks worse "
        "than it is, as people correct what it gets wrong. `mfa review --strategy random` picks tracks that "
        "can be compared."
    ]


def _training_warnings(
    comparison: Comparison[UUID], names: Sequence[str], learning: Sequence[Learning]
) -> list[str]:
    """Corrected tracks that are not evaluated, and models whose scores on others may be too high."""
    warnings = []
    if count := comparison.not_evaluated:
        warnings.append(
            "Corrected tracks not evaluated, as one of the models was trained on them and no scores without "
            f"that are stored: {count:,}."
        )
    for name, of_model in zip(names, learning, strict=True):
        if of_model.is_recorded or not comparison.evaluated.tracks:
            continue
        if of_model.of_corrections:
            warnings.append(f"{name} was trained on corrections, so its scores on them are too high.")
        elif of_model.of_corrections is None:
            warnings.append(
                f"It cannot be told whether {name} was trained on corrections; if so, its scores on them are "
                "too high."
            )
    return warnings


def _threshold_warnings(comparison: Comparison[UUID], models: tuple[Model, Model]) -> list[str]:
    """Models whose thresholds were chosen on scores that they are evaluated by."""
    return [
        f"The thresholds of {model.reference} were chosen on the out-of-fold scores by which {count:,} of "
        "the evaluated tracks are judged: its precision and recall there are a little too high."
        for model, count in zip(models, comparison.out_of_fold.tolist(), strict=True)
        if count and not model.single_label
    ]


def _unrefused(comparison: Comparison[UUID]) -> list[str]:
    """Labels that people only gave: to give them to every track would be right."""
    counts = comparison.evaluated
    only_given = comparison.common & (counts.positives > 0) & (counts.negatives == 0)
    if not only_given.any():
        return []
    names = [comparison.labels[at] for at in np.flatnonzero(only_given)]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    shown = ", ".join(names[:MOST_NAMED]) + more
    return [f"Nobody refused these labels on a compared track, so their precision says nothing: {shown}."]


def _share(part: Any, whole: int) -> float | None:
    return round(float(part) / whole, DIGITS) if whole else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), DIGITS)


def _mean(values: Any) -> float | None:
    return _number(np.nan_to_num(values).mean()) if len(values) else None
