"""What the measures of a model are called, and how they were taken, in words that people read."""

TITLES = {
    "roc_auc_macro": "ROC-AUC, mean over labels",
    "pr_auc_macro": "PR-AUC, mean over labels",
    "pr_auc_chance": "PR-AUC of guessing",
    "f1_micro": "F1, over all decisions",
    "f1_macro": "F1, mean over labels",
    "f1_samples": "F1, mean over tracks",
}
GROUPS = {
    "head": "100 or more training tracks",
    "middle": "20 to 99 training tracks",
    "tail": "fewer than 20 training tracks",
    "roots": "roots of the label tree",
    "leaves": "leaves of the label tree",
}
FEW_TRIALS = 50  # with fewer complete ones, the importances of two runs of a study differ a lot
INTERVALS = "The intervals say how much the measures of this very model would differ on other tracks."


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
