"""A training as a process of its own, which says when it takes a step."""

from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from core.ml.datasets.folder import read
from core.ml.training.train import train
from tests.unit.ml.training.experiments import make_config

AUGMENTATION = {"gain_db": 6, "time_masks": 1, "mixup_alpha": 0.3}
CONFIGS: dict[str, dict[str, Any]] = {
    "network": {"training": {"epochs": 5, "batch_size": 4, "checkpoint_every_s": 0}},
    "folds": {"training": {"epochs": 2, "batch_size": 4, "checkpoint_every_s": 0}, "split": {"folds": 2}},
    "default": {"training": {"epochs": 3, "batch_size": 4}},
    "shared": {"training": {"epochs": 8, "batch_size": 8, "patches_per_track": 4}},
}


def run_in_fork(clips: str, folder: str, cache: str, name: str, pipe: Connection) -> None:
    """Train; "step" is sent before each step, so that others know when to kill the process."""

    def should_stop() -> bool:
        pipe.send("step")
        return False

    train(
        make_config(augmentation=AUGMENTATION, **CONFIGS[name]),
        read(Path(clips)),
        lambda report: None,
        folder=Path(folder),
        cache_dir=Path(cache),
        should_stop=should_stop,
        pictures=False,
    )
