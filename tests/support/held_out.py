"""What a training has stored of the held-out scores of the labels of `builders`."""

import json
from pathlib import Path
from typing import Any

from tests.support.builders import LABELS

BINS = [[4, 0.05, 1], *[[0, None, 0]] * 8, [4, 0.95, 3]]
FILES: dict[str, Any] = {
    "score_counts.json": {
        "steps": 1000,
        "tracks": 8,
        "bins_of": "scores",
        "bins": BINS,
        "calibration_error": 0.2,
        "labels": [
            {
                "label": "rock",
                "counts": [[50, 3, 1], [412, 1, 0], [950, 1, 2]],
                "bins": BINS,
                "calibration_error": 0.2,
            },
            {"label": "jazz", "counts": [[1000, 0, 8]], "bins": BINS, "calibration_error": 0.1},
            {"label": "ambient"},
        ],
    },
    "test_results.json": {"co_occurrence": [[2, 1, 0], [0, 4, 0], [0, 0, 0]]},
}
RESULTS: dict[str, Any] = {
    "evaluated_on": "out_of_fold",
    "folds": 5,
    "intervals": {"f1_macro": {"value": 0.8, "low": 0.72, "high": 0.88}},
    "per_label": [
        {
            "label": label,
            "support": 4,
            "precision": 0.81,
            "recall": 0.77,
            "f1": 0.79,
            "roc_auc": 0.95,
            "pr_auc": 0.9,
            "calibration_error": 0.031,
        }
        for label in LABELS
    ],
    "tracks": {"all": 120},
    "warnings": ["Some <b>labels</b> are rare."],
}


def write_held_out(folder: Path) -> None:
    """Write the files into the folder of a model."""
    for name, content in FILES.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "co_occurrence.png").write_bytes(b"")


def make_report(epoch: int, fold: int | None = None) -> dict[str, Any]:
    """What a training reports of an epoch."""
    return {
        "fold": fold,
        "folds": None,
        "epoch": epoch,
        "epochs": 3,
        "train_loss": 1 / epoch,
        "validation_loss": 1.5 / epoch,
        "validation": {"f1_macro": 0.5},
        "learning_rate": 0.001,
        "duration_s": 1.0,
        "busy_share": 1.0,
        "is_best": False,
    }
