"""Small studies for the tests of tuning."""

from typing import Any

from core.config.tuning import TuningConfig

LR: dict[str, Any] = {"kind": "float", "low": 1e-4, "high": 1e-1, "log": True}
DECAY: dict[str, Any] = {"kind": "float", "low": 1e-6, "high": 1e-2}


def make_study(**changes: Any) -> TuningConfig:
    content: dict[str, Any] = {
        "study_name": "mine",
        "experiment": {
            "experiment_name": "mine",
            "dataset": {"kind": "library", "library": "home"},
            "model": {"kind": "transfer"},
            "training": {"epochs": 9},
        },
        "space": {"training.lr": LR, "training.weight_decay": DECAY},
    }
    return TuningConfig.model_validate(content | changes)
