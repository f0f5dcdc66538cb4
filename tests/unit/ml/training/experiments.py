"""Builders of small experiments, runs and tracks."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.config.experiment import ExperimentConfig, parse_experiment
from core.ml.training.context import Stage, Tracks, TrainingContext
from core.ml.training.inputs import PatchInputs

TRAINING = {
    "epochs": 3,
    "batch_size": 8,
    "lr": 0.01,
    "ema_decay": 0.8,
    "checkpoint_every_s": 60,
    "patches_per_track": 1,
}
NARROW = {"kind": "audio_cnn", "patch_frames": 32, "base_channels": 2, "embedding_size": 8}


def make_config(**changes: Any) -> ExperimentConfig:
    """A narrow network for three epochs; `training` only replaces what it names."""
    content: dict[str, Any] = {
        "experiment_name": "small",
        "dataset": {"kind": "folder", "root": "unused"},
        "split": {"validation": 0.2, "test": 0.2},
        "features": {"n_mels": 24},
        "model": NARROW,
        "evaluation": {"bootstrap": 20},
    }
    training = TRAINING | changes.pop("training", {})
    return parse_experiment(content | changes | {"training": training})


def make_context(config: ExperimentConfig, reports: list[Any] | None = None) -> TrainingContext:
    on_epoch = (lambda _: None) if reports is None else reports.append
    return TrainingContext(config, torch.device("cpu"), on_epoch, lambda: False)


def make_stage(folder: Path, train: range, validation: range = range(0)) -> Stage:
    return Stage(list(train), list(validation), folder)


def make_tracks(
    folder: Path,
    per_label: int = 4,
    labels: int = 4,
    bands: int = 24,
    frames: int = 40,
    several: bool = False,
) -> Tracks:
    """Noise in which a group of bands tells the label; with `several`, many tracks have a second one."""
    folder.mkdir(parents=True, exist_ok=True)
    files, width = [], bands // labels
    random = np.random.default_rng(0)
    targets = torch.zeros(per_label * labels, labels)
    for number in range(per_label * labels):
        values = random.uniform(0, 1, (frames, bands))
        for label in {number % labels, number // labels % labels if several else number % labels}:
            values[:, label * width : (label + 1) * width] += 1.5
            targets[number, label] = 1
        files.append(folder / f"{number}.npy")
        np.save(files[-1], values.astype(np.float16))
    return Tracks(PatchInputs(files, 32), targets, tuple("abcdefgh"[:labels]))
