"""Fits of several processes: torchrun -m tests.unit.ml.training.shared_fit FOLDER.

Each process writes what it has ended with, `<rank>.json`; the first one writes the weights, too.
"""

import hashlib
import itertools
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from core.config.models import FeatureConfig
from core.ml.audio.augment import SpectrogramAugmentation
from core.ml.models.zoo import build
from core.ml.training.context import Tracks, TrainingStopped
from core.ml.training.loop import fit_network
from core.ml.training.processes import is_first, join_group, leave_group, rank, wait_for_all
from core.ml.training.reports import EpochReport
from tests.unit.ml.training.experiments import make_config, make_context, make_stage, make_tracks

CONFIG = make_config(
    training={"epochs": 3, "batch_size": 16, "patience": None},
    augmentation={"gain_db": 6, "time_masks": 1, "mixup_alpha": 0.3},
)
TRAINED, VALIDATED = range(64), range(64, 80)
NEVER = 10**9


def main() -> None:
    folder = Path(sys.argv[1])
    join_group(torch.device("cpu"))
    tracks = make_tracks(folder / f"tracks-{rank()}", per_label=20)
    augmented = listen()
    whole, reports = fit(tracks, folder / "whole", NEVER)
    drawn = list(augmented)
    try:
        fit(tracks, folder / "broken", 6)
    except TrainingStopped:
        wait_for_all()
    broken, _ = fit(tracks, folder / "broken", NEVER)
    ended = {
        "whole": digest(whole),
        "broken": digest(broken),
        "augmented": drawn,
        "validation_loss": min(report.validation_loss or NEVER for report in reports),
    }
    (folder / f"{rank()}.json").write_text(json.dumps(ended))
    if is_first():
        (folder / "weights.safetensors").write_bytes(weights(whole))
    leave_group()


def fit(tracks: Tracks, folder: Path, stop_after: int) -> tuple[nn.Module, list[EpochReport]]:
    steps = itertools.count(1)
    run = replace(make_context(CONFIG), should_stop=lambda: next(steps) >= stop_after)
    torch.manual_seed(1)
    model = build(CONFIG.model, FeatureConfig(n_mels=24), 4)
    return fit_network(model, tracks, make_stage(folder, TRAINED, VALIDATED), run)


def listen() -> list[float]:
    """The shares that patches are mixed by from now on."""
    shares: list[float] = []
    mixup = SpectrogramAugmentation.mixup

    def recorded(self: SpectrogramAugmentation, *batch: Any) -> Any:
        mixed = mixup(self, *batch)
        shares.append(mixed[1])
        return mixed

    SpectrogramAugmentation.mixup = recorded  # type: ignore[method-assign,assignment]
    return shares


def weights(model: nn.Module) -> bytes:
    return save({name: tensor.contiguous() for name, tensor in model.state_dict().items()})


def digest(model: nn.Module) -> str:
    return hashlib.sha256(weights(model)).hexdigest()


if __name__ == "__main__":
    main()
