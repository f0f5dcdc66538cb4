"""The model card in Markdown of a version that differs from another one by its thresholds only."""

from collections.abc import Mapping
from typing import Any

from core.ml.models.artifact import ModelCard
from core.ml.training.model_card import number_of


def write_threshold_card(card: ModelCard, result: Mapping[str, Any]) -> str:
    """`result` as the job answers it after a gain; `card` is that of the new version."""
    labels = result["labels"]
    columns = ("threshold", "before", "support", "given", "precision", "recall")
    rows = ["| label | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for one in labels:
        rows.append(f"| {one['label']} | " + " | ".join(number_of(one[name]) for name in columns) + " |")
    measured = (
        "Precision and recall are measured on validation tracks that the thresholds were chosen without."
        if result["cross_fitted"]
        else "All validation tracks are of one artist or album: precision and recall are those on the tracks "
        "that the thresholds were chosen on, and too high."
    )
    chance = (
        [
            "The gain may be chance: of thresholds that are worth the same, one looks better by as much in "
            f"{result['chance']:.0%} of cases."
        ]
        if result["verdict"] == "undecided"
        else []
    )
    kept = [
        f"- {one['label']} keeps its threshold: {one['kept']}." for one in result["labels"] if one["kept"]
    ]
    lines = [
        f"# {card.name}, version {card.version}",
        "",
        f"The weights of {card.provenance['thresholds_of']}, with thresholds for "
        f"{card.provenance['thresholds_for']}.",
        measured,
        f"The {result['measure']}: {number_of(result['value'])}, with the former thresholds "
        f"{number_of(result['value_before'])}.",
        *chance,
        "",
        *rows,
        *([""] if kept else []),
        *kept,
    ]
    return "\n".join(lines) + "\n"
