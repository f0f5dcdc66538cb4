"""Fits each kind of model, and builds the form in which it is stored."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from core.config.models import EnsembleConfig, RandomForestConfig, TransferConfig, is_single_label
from core.ml.models.ensemble import Ensemble
from core.ml.models.random_forest import RandomForest
from core.ml.models.transfer import Head, Transfer
from core.ml.models.zoo import build
from core.ml.training.bases import Resolved
from core.ml.training.context import Stage, Tracks, TrainingContext
from core.ml.training.forest import grow_forest
from core.ml.training.logistic_head import fit_logistic_head
from core.ml.training.logistic_regression import prior_bias
from core.ml.training.loop import fit_network
from core.ml.training.prediction import HeldOutScores
from core.ml.training.prepared_dataset import PreparedDataset
from core.ml.training.reports import EpochReport


@dataclass(frozen=True)
class FittedModel:
    """A module fitted on the tracks' inputs, and the reports of its epochs."""

    module: nn.Module
    reports: list[EpochReport]
    out_of_fold: HeldOutScores | None = None  # of the training tracks, if the kind of model can score them
    note: str | None = None  # a sentence on how the fit was made


def fit_model(
    resolved: Resolved, prepared: PreparedDataset, stage: Stage, context: TrainingContext
) -> FittedModel:
    """Fit the model of the configuration on the training tracks of the stage. Raises TrainingStopped."""
    config, tracks = resolved.config, prepared.tracks
    labels = tracks.targets.shape[1]
    with torch.random.fork_rng():
        torch.manual_seed(stage.seed(config.seed))
        if isinstance(config.model, TransferConfig):
            head = Head(config.model, labels)
            head.standardise(tracks.inputs.batch(stage.train, np.zeros(len(stage.train))))
            if config.model.head == "logistic":
                groups = [prepared.groups[row] for row in stage.train]
                fit = fit_logistic_head(head, tracks, groups, stage, context)
                return FittedModel(fit.head, fit.reports, fit.out_of_fold, fit.note)
            start_at_prior(head.last, tracks, stage, exclusive=is_single_label(config.model))
            return FittedModel(*fit_network(head, tracks, stage, context))
        if isinstance(config.model, EnsembleConfig):
            return FittedModel(
                Ensemble([base.model for base in resolved.bases]).to(context.device).eval(), []
            )
        model = build(config.model, config.features, labels)
    if isinstance(config.model, RandomForestConfig):
        assert isinstance(model, RandomForest)
        return FittedModel(*grow_forest(model, config.model, tracks, stage, context))
    assert isinstance(model.head, nn.Module)
    start_at_prior(model.head, tracks, stage, exclusive=is_single_label(config.model))
    return FittedModel(*fit_network(model, tracks, stage, context))


def start_at_prior(last: nn.Module, tracks: Tracks, stage: Stage, *, exclusive: bool) -> None:
    """Begin with the prevalence of each label, which gradient descent would take many steps to find."""
    positives = tracks.targets[stage.train].sum(0).numpy()
    bias = prior_bias(positives, len(stage.train), exclusive=exclusive)
    with torch.no_grad():
        assert isinstance(last.bias, nn.Parameter)
        last.bias.copy_(torch.from_numpy(bias))


def stored_form(resolved: Resolved, fitted: nn.Module, labels: int) -> nn.Module:
    """The complete model over log-mel patches, as it is stored and served."""
    if isinstance(resolved.config.model, TransferConfig):
        whole = Transfer(resolved.config.model, resolved.bases[0].model, labels)
        whole.head.load_state_dict(fitted.state_dict())
        return whole.eval()
    return fitted.eval()
