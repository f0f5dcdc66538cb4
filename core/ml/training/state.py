"""The state of a fit, and its representation in a checkpoint as tensors with flat names."""

import time
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from core.config.models import is_single_label
from core.errors import InvalidConfig
from core.ml.audio.augment import SpectrogramAugmentation
from core.ml.training.averaging import MovingAverage
from core.ml.training.batches import Sampler, usual_crops
from core.ml.training.checkpoint import Checkpoint, Checkpoints
from core.ml.training.context import Stage, Tracks, TrainingContext
from core.ml.training.losses import Loss, class_weights, make_loss
from core.ml.training.optimizer import make_optimizer
from core.ml.training.processes import is_first, world_size
from core.ml.training.progress import FitProgress

MODEL, AVERAGE, BEST, OPTIMIZER = "model.", "average.", "best.", "optimizer."


@dataclass
class Fit:
    """The state of a network's fit, with the objects it is fitted with."""

    context: TrainingContext
    stage: Stage
    tracks: Tracks
    model: nn.Module
    average: MovingAverage
    optimizer: torch.optim.Optimizer
    augmentation: SpectrogramAugmentation
    sampler: Sampler
    loss: Loss
    checkpoints: Checkpoints
    progress: FitProgress = field(default_factory=FitProgress)
    best: dict[str, Tensor] = field(default_factory=dict)  # averaged weights of the best epoch
    saved_at: float = field(default_factory=time.perf_counter)

    @property
    def steps_done(self) -> int:
        return self.progress.epoch * self.sampler.steps + self.progress.step


def start(model: nn.Module, tracks: Tracks, stage: Stage, context: TrainingContext) -> Fit:
    """A new fit, or the one restored from the last checkpoint. Raises InvalidConfig for too small batches."""
    training = context.config.training
    model = model.to(context.device)
    if tracks.inputs.are_patches:
        model = model.to(memory_format=torch.channels_last)
    weights = class_weights(tracks.targets[stage.train], training.max_class_weight).to(context.device)
    seed = stage.seed(context.config.seed)
    least = _smallest_batch(model)
    if training.batch_size < least * world_size():
        raise InvalidConfig(
            f"training.batch_size must be at least {least * world_size()}: "
            f"the model has batch normalisation, and {world_size()} processes share a batch."
        )
    crops = 1
    if tracks.inputs.are_patches:
        crops = training.patches_per_track or usual_crops(stage.epoch_tracks or len(stage.train))
    fit = Fit(
        context=context,
        stage=stage,
        tracks=tracks,
        model=model,
        average=MovingAverage(model, training.ema_decay),
        optimizer=make_optimizer(model, training),
        augmentation=SpectrogramAugmentation(context.config.augmentation, context.config.features, seed),
        sampler=Sampler(
            stage.train, crops, training.batch_size, seed, least=least, epoch_tracks=stage.epoch_tracks
        ),
        loss=make_loss(training.loss, weights, exclusive=is_single_label(context.config.model)),
        checkpoints=Checkpoints(stage.checkpoints),
    )
    checkpoint = fit.checkpoints.load_latest()
    if checkpoint is not None:
        fit.progress = FitProgress.from_dict(checkpoint.state)
        _unpack(fit, checkpoint.tensors)
    return fit


def _smallest_batch(model: nn.Module) -> int:
    """Smallest batch that the model can train on: batch normalisation of vectors needs two."""
    return 2 if any(isinstance(module, nn.BatchNorm1d) for module in model.modules()) else 1


def save_if_due(fit: Fit, must: bool = False) -> None:
    """Write a checkpoint, from the first process only, if the last one is old enough or if it `must`."""
    due = time.perf_counter() - fit.saved_at >= fit.context.config.training.checkpoint_every_s
    if is_first() and (due or must):
        fit.checkpoints.save(fit.steps_done, Checkpoint(_pack(fit), fit.progress.as_dict()))
        fit.saved_at = time.perf_counter()


def _pack(fit: Fit) -> dict[str, Tensor]:
    """Everything that the next step depends on, and the best weights so far, by flat names."""
    tensors = {
        **{MODEL + name: tensor for name, tensor in fit.model.state_dict().items()},
        **{AVERAGE + name: tensor for name, tensor in fit.average.model.state_dict().items()},
        **{BEST + name: tensor for name, tensor in fit.best.items()},
    }
    for number, state in fit.optimizer.state_dict()["state"].items():
        tensors |= {f"{OPTIMIZER}{number}.{name}": tensor for name, tensor in state.items()}
    return tensors


def _unpack(fit: Fit, tensors: dict[str, Tensor]) -> None:
    """Restore what `_pack` has collected."""
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
