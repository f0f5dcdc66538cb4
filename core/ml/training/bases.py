"""Stored models that a new one builds on: the backbone of a transfer, the members of an ensemble."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from core.config.experiment import ExperimentConfig
from core.config.models import MAX_EMBEDDING_SIZE, EnsembleConfig, TransferConfig
from core.errors import InvalidConfig
from core.ml.models import artifact
from core.ml.models.artifact import Artifact, ArtifactError, StoredCard


@dataclass(frozen=True)
class Base:
    """A stored model with its name."""

    name: str
    card: StoredCard
    model: nn.Module

    @property
    def trained_by(self) -> ExperimentConfig | None:
        """The experiment that it comes from; None for models that were not trained here."""
        config = self.card.provenance.get("config")
        return None if config is None else ExperimentConfig.model_validate_json(config)


@dataclass(frozen=True)
class Resolved:
    """An experiment that holds everything its model is built from, and the stored models it named."""

    config: ExperimentConfig
    bases: tuple[Base, ...] = ()


def resolve(config: ExperimentConfig, models_dir: Path) -> Resolved:
    """Look up what the model builds on; its features and networks become part of the configuration."""
    model = config.model
    if isinstance(model, TransferConfig):
        base = load_base(models_dir, model.backbone)
        if base.card.model.kind in ("transfer", "random_forest", "ensemble"):
            raise InvalidConfig(f"{base.name} is a {base.card.model.kind}, which cannot be a backbone.")
        filled = model.model_copy(
            update={"network": base.card.model, "network_labels": len(base.card.labels)}
        )
        return Resolved(config.model_copy(update={"model": filled, "features": base.card.features}), (base,))
    if isinstance(model, EnsembleConfig):
        bases = tuple(load_base(models_dir, name) for name in model.members)
        _check_members(bases)
        members = model.model_copy(update={"networks": tuple(base.card.model for base in bases)})
        if members.embedding_size > MAX_EMBEDDING_SIZE:
            raise InvalidConfig(
                f"The embeddings of the members have {members.embedding_size} numbers together; "
                f"{MAX_EMBEDDING_SIZE} can be stored."
            )
        features = bases[0].card.features
        return Resolved(config.model_copy(update={"model": members, "features": features}), bases)
    return Resolved(config)


def load_base(models_dir: Path, name: str) -> Base:
    """The stored model of this name, verified."""
    try:
        loaded: Artifact = artifact.load(models_dir / name)
    except ArtifactError as error:
        raise InvalidConfig(f"The model {name!r} cannot be built on: {error}.") from error
    assert isinstance(loaded.card, StoredCard)
    return Base(name, loaded.card, loaded.model)


def _check_members(bases: tuple[Base, ...]) -> None:
    """Members must be shown the same patches and answer about the same labels."""
    first = bases[0]
    for base in bases:
        if base.card.model.kind == "ensemble":
            raise InvalidConfig(f"{base.name} is an ensemble itself.")
        for what, ours, theirs in (
            ("labels", first.card.labels, base.card.labels),
            ("features", first.card.features, base.card.features),
            ("patch length", first.card.model.patch_frames, base.card.model.patch_frames),
        ):
            if ours != theirs:
                raise InvalidConfig(f"{first.name} and {base.name} differ in their {what}.")
