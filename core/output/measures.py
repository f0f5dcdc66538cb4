"""What the measures of a model are called, and how they were taken, in words that people read."""

from collections.abc import Mapping
from typing import Any

TITLES = {
    "roc_auc_macro": "ROC-AUC, mean over labels",
    "pr_auc_macro": "PR-AUC, mean over labels",
    "pr_auc_chance": "PR-AUC of guessing",
    "f1_micro": "F1, over all decisions",
    "f1_macro": "F1, mean over labels",
    "f1_samples": "F1, mean over tracks",
}
PUBLISHED = {"macro_pr_auc": "pr_auc_macro", "macro_roc_auc": "roc_auc_macro"}  # of pretrained models
NO_MEASURES = ("tracks", "measured_labels", "duration_s")  # numbers that stand among the measures
GROUPS = {
    "head": "100 or more training tracks",
    "middle": "20 to 99 training tracks",
    "tail": "fewer than 20 training tracks",
    "roots": "roots of the label tree",
    "leaves": "leaves of the label tree",
}
FEW_TRIALS = 50  # with fewer complete ones, the importances of two runs of a study differ a lot
INTERVALS = "The intervals say how much the measures of this very model would differ on other tracks."


def scores_of(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Of the numbers that a model has, those that measure it, by their one name, in the order of TITLES."""
    found = {PUBLISHED.get(name, name): value for name, value in metrics.items() if name not in NO_MEASURES}
    return {name: found[name] for name in (*TITLES, *found) if name in found}


def title_of(measure: str) -> str:
    return TITLES.get(measure, measure.replace("_", " ").capitalize())


def way_of(folds: int | None, *, exclusive: bool) -> str:
    """How a model was evaluated; `folds`: None with one split; `exclusive` labels have no thresholds."""
    if folds:
        decided = (
            "The label with the highest score wins"
            if exclusive
            else "The thresholds for a fold's F1 were chosen on the other folds"
        )
        return (
            f"Measured out of fold in a {folds}-fold cross-validation; the model itself was trained on all "
            f"tracks. {decided}."
        )
    decided = (
        "the label with the highest score wins"
        if exclusive
        else "thresholds and calibration were chosen on a separate validation part"
    )
    return f"Measured on tracks, and where known artists, that the model was not trained on; {decided}."
