"""A training as a process: python -m tests.unit.ml.training.training_process CLIPS FOLDER CACHE NAME.

Writes a line per step, so that others know when to kill it, and one with the metrics at its end.
"""

import json
import sys
from collections.abc import Callable
from functools import partial
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


def main() -> None:
    clips, folder, cache, name = sys.argv[1:]
    run(clips, folder, cache, name, partial(print, flush=True))


def run(clips: str, folder: str, cache: str, name: str, report: Callable[[str], object]) -> None:
    """Train; `report` gets "step" before each step, and the metrics as JSON at the end."""

    def should_stop() -> bool:
        report("step")
        return False

    result = train(
        make_config(augmentation=AUGMENTATION, **CONFIGS[name]),
        read(Path(clips)),
        lambda report: None,
        folder=Path(folder),
        cache_dir=Path(cache),
        should_stop=should_stop,
        pictures=False,
    )
    report(json.dumps(dict(result.metrics)))


def run_in_fork(clips: str, folder: str, cache: str, name: str, pipe: Connection) -> None:
    run(clips, folder, cache, name, pipe.send)


if __name__ == "__main__":
    main()
