"""The state of a fit, and how a checkpoint holds it: as tensors with flat names."""

import time
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from core.errors import InvalidConfig
from core.ml.audio.augment import SpectrogramAugmentation
from core.ml.training.averaging import Average
from core.ml.training.batches import Sampler
from core.ml.training.checkpoint import Checkpoint, Checkpoints
from core.ml.training.losses import Loss, class_weights, make_loss
from core.ml.training.optimizer import make_optimizer
from core.ml.training.processes import is_first, world_size
from core.ml.training.progress import Progress
from core.ml.training.run import Run, Stage, Tracks

MODEL, AVERAGE, BEST, OPTIMIZER = "model.", "average.", "best.", "optimizer."


@dataclass
class Fit:
    """All that changes while a network is fitted, and what it is fitted with."""

    run: Run
    stage: Stage
    tracks: Tracks
    model: nn.Module
    average: Average
    optimizer: torch.optim.Optimizer
    augmentation: SpectrogramAugmentation
    sampler: Sampler
    loss: Loss
    checkpoints: Checkpoints
    progress: Progress = field(default_factory=Progress)
    best: dict[str, Tensor] = field(default_factory=dict)  # averaged weights of the best epoch
    saved_at: float = field(default_factory=time.perf_counter)

    @property
    def steps_done(self) -> int:
        return self.progress.epoch * self.sampler.steps + self.progress.step


def start(model: nn.Module, tracks: Tracks, stage: Stage, run: Run) -> Fit:
    """The fit at its beginning, or where its last checkpoint left it."""
    training = run.config.training
    model = model.to(run.device)
    if tracks.inputs.are_patches:
        model = model.to(memory_format=torch.channels_last)
    weights = class_weights(tracks.targets[stage.train], training.max_class_weight).to(run.device)
    seed = run.config.seed + stage.number
    least = _smallest_batch(model)
    if training.batch_size < least * world_size():
        raise InvalidConfig(
            f"training.batch_size must be {least * world_size()} at least: "
            f"the model normalises over a batch, which {world_size()} processes share."
        )
    fit = Fit(
        run=run,
        stage=stage,
        tracks=tracks,
        model=model,
        average=Average(model, training.ema_decay),
        optimizer=make_optimizer(model, training),
        augmentation=SpectrogramAugmentation(run.config.augmentation, run.config.features, seed),
        sampler=Sampler(stage.train, training.patches_per_track, training.batch_size, seed, least),
        loss=make_loss(training.loss, weights),
        checkpoints=Checkpoints(stage.checkpoints),
    )
    checkpoint = fit.checkpoints.load_latest()
    if checkpoint is not None:
        fit.progress = Progress.from_dict(checkpoint.state)
        _unpack(fit, checkpoint.tensors)
    return fit


def _smallest_batch(model: nn.Module) -> int:
    """The variance of one vector is nothing to normalise by."""
    return 2 if any(isinstance(module, nn.BatchNorm1d) for module in model.modules()) else 1


def save_if_due(fit: Fit, must: bool = False) -> None:
    """Write a checkpoint when the last one is old enough; only one process does."""
    due = time.perf_counter() - fit.saved_at >= fit.run.config.training.checkpoint_every_s
    if is_first() and (due or must):
        fit.checkpoints.save(fit.steps_done, Checkpoint(_pack(fit), fit.progress.as_dict()))
        fit.saved_at = time.perf_counter()


def _pack(fit: Fit) -> dict[str, Tensor]:
    """Everything that the next step depends on, and the best weights so far."""
    tensors = {
        **{MODEL + name: tensor for name, tensor in fit.model.state_dict().items()},
        **{AVERAGE + name: tensor for name, tensor in fit.average.model.state_dict().items()},
        **{BEST + name: tensor for name, tensor in fit.best.items()},
    }
    for number, state in fit.optimizer.state_dict()["state"].items():
        tensors |= {f"{OPTIMIZER}{number}.{name}": tensor for name, tensor in state.items()}
    return tensors


def _unpack(fit: Fit, tensors: dict[str, Tensor]) -> None:
    """Put everything back where `_pack` found it."""
    fit.model.load_state_dict(_below(tensors, MODEL))
    fit.average.model.load_state_dict(_below(tensors, AVERAGE))
    fit.best = _below(tensors, BEST)
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _below(tensors, OPTIMIZER).items():
        number, _, of_parameter = name.partition(".")
        state.setdefault(int(number), {})[of_parameter] = tensor
    groups = fit.optimizer.state_dict()["param_groups"]
    fit.optimizer.load_state_dict({"state": state, "param_groups": groups})


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
