"""Fits each kind of model, and builds the form in which it is stored."""

import numpy as np
import torch
from torch import nn

from core.config.models import EnsembleConfig, RandomForestConfig, TransferConfig
from core.ml.models.ensemble import Ensemble
from core.ml.models.random_forest import RandomForest
from core.ml.models.transfer import Head, Transfer
from core.ml.models.zoo import build
from core.ml.training.bases import Resolved
from core.ml.training.context import Stage, Tracks, TrainingContext
from core.ml.training.forest import grow_forest
from core.ml.training.loop import fit_network
from core.ml.training.reports import EpochReport


def fit_model(
    resolved: Resolved, tracks: Tracks, stage: Stage, context: TrainingContext
) -> tuple[nn.Module, list[EpochReport]]:
    """The module fitted on the tracks' inputs, and the reports of its epochs."""
    config = resolved.config
    labels = tracks.targets.shape[1]
    with torch.random.fork_rng():
        torch.manual_seed(config.seed + stage.number)
        if isinstance(config.model, TransferConfig):
            head = Head(config.model, labels)
            head.standardise(tracks.inputs.batch(stage.train, np.zeros(len(stage.train))))
            return fit_network(head, tracks, stage, context)
        if isinstance(config.model, EnsembleConfig):
            return Ensemble([base.model for base in resolved.bases]).to(context.device).eval(), []
        model = build(config.model, config.features, labels)
    if isinstance(config.model, RandomForestConfig):
        assert isinstance(model, RandomForest)
        return grow_forest(model, config.model, tracks, stage, context)
    return fit_network(model, tracks, stage, context)


def stored_form(resolved: Resolved, fitted: nn.Module, labels: int) -> nn.Module:
    """The complete model over log-mel patches, as it is stored and served."""
    if isinstance(resolved.config.model, TransferConfig):
        whole = Transfer(resolved.config.model, resolved.bases[0].model, labels)
        whole.head.load_state_dict(fitted.state_dict())
        return whole.eval()
    return fitted.eval()
