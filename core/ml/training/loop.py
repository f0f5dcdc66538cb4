"""Fits a network by gradient descent. A fit resumed from a checkpoint ends with identical weights."""

import time

import torch
from torch import Tensor, nn

from core.ml.training.batches import prepared
from core.ml.training.context import Stage, Tracks, TrainingContext, TrainingStopped
from core.ml.training.processes import is_first, mean_over_processes, share_buffers, share_gradients
from core.ml.training.reports import EpochReport
from core.ml.training.state import Fit, save_if_due, start
from core.ml.training.step import take_step
from core.ml.training.validation import validate
from core.states import Activity


def fit_network(
    model: nn.Module, tracks: Tracks, stage: Stage, context: TrainingContext
) -> tuple[nn.Module, list[EpochReport]]:
    """The network with its best averaged weights, and the report of every epoch. Raises TrainingStopped."""
    training = context.config.training
    epochs = stage.epochs or training.epochs
    with torch.random.fork_rng():
        torch.manual_seed(stage.seed(context.config.seed))
        fit = start(model, tracks, stage, context)
        trained = share_gradients(fit.model, context.device)
        while fit.progress.epoch < epochs and not fit.progress.is_exhausted(training.patience):
            _train_epoch(fit, trained)
            _end_epoch(fit)
    if fit.best:
        fit.average.model.load_state_dict(fit.best)
    return fit.average.model, fit.progress.history


def _train_epoch(fit: Fit, trained: nn.Module) -> None:
    progress, sampler, tracks = fit.progress, fit.sampler, fit.tracks
    trained.train()
    epoch, order = progress.epoch, sampler.order(progress.epoch)

    def load(step: int) -> tuple[Tensor, Tensor]:
        rows, positions = sampler.draw(order, epoch, step)
        return tracks.inputs.batch(rows, positions), tracks.targets[rows]

    batches = prepared(load, range(progress.step, sampler.steps))
    began = time.perf_counter()
    for (inputs, targets), waited_s in batches:
        loss = take_step(fit, trained, inputs, targets)
        progress.step += 1
        fit.context.on_activity(Activity.TRAINING, progress.step, sampler.steps)
        progress.data_wait_s += waited_s
        progress.duration_s += time.perf_counter() - began
        mean_loss, stopping = mean_over_processes(loss, fit.context.should_stop())
        progress.loss_sum += mean_loss
        stop = stopping > 0
        if stop or progress.step < sampler.steps:
            save_if_due(fit, must=stop)
        if stop:
            batches.close()
            raise TrainingStopped
        began = time.perf_counter()


def _end_epoch(fit: Fit) -> None:
    """Validate, report and save the end of the epoch."""
    progress, stage = fit.progress, fit.stage
    began = time.perf_counter()
    fit.tracks.inputs.keep()
    share_buffers(fit.average.model)
    try:
        loss, metrics = validate(fit.average.model, fit.tracks, stage.validation, fit.context, fit.loss)
    except TrainingStopped:
        save_if_due(fit, must=True)
        raise
    report = EpochReport(
        epoch=progress.epoch + 1,
        epochs=stage.epochs or fit.context.config.training.epochs,
        fold=stage.fold,
        folds=stage.folds,
        train_loss=progress.loss_sum / fit.sampler.steps,
        validation_loss=loss,
        validation=metrics,
        learning_rate=fit.optimizer.param_groups[0]["lr"],
        steps=fit.sampler.steps,
        duration_s=progress.duration_s,
        data_wait_s=progress.data_wait_s,
        validation_s=time.perf_counter() - began,
        is_best=loss is not None and (progress.best_loss is None or loss < progress.best_loss),
    )
    progress.end_epoch(report)
    if report.is_best:
        fit.best = {name: tensor.clone() for name, tensor in fit.average.model.state_dict().items()}
    save_if_due(fit)
    if is_first():
        fit.context.on_epoch(report)
