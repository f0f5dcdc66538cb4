"""Stored models that a new one is built from: the backbone of a transfer, the members of an ensemble."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from core.config.experiment import ExperimentConfig
from core.config.models import MAX_EMBEDDING_SIZE, EnsembleConfig, TransferConfig
from core.errors import InvalidConfig
from core.ml.models import artifact
from core.ml.models.artifact import Artifact, ArtifactError, StoredCard


@dataclass(frozen=True)
class BaseArtifact:
    """A stored model with its name."""

    name: str
    card: StoredCard
    model: nn.Module

    @property
    def trained_by(self) -> ExperimentConfig | None:
        """The experiment that trained it; None for models that were not trained here."""
        config = self.card.provenance.get("config")
        return None if config is None else ExperimentConfig.model_validate_json(config)


@dataclass(frozen=True)
class Resolved:
    """An experiment completed with the configuration of its base models, and those models."""

    config: ExperimentConfig
    bases: tuple[BaseArtifact, ...] = ()


def resolve(config: ExperimentConfig, models_dir: Path) -> Resolved:
    """Load the base models; their features and networks become part of the configuration.

    Raises InvalidConfig if they are missing, or cannot be combined.
    """
    config, model = config.model_copy(update={"split": config.seeded_split}), config.model
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
                f"The embeddings of the members have {members.embedding_size} dimensions in total; "
                f"at most {MAX_EMBEDDING_SIZE} can be stored."
            )
        features = bases[0].card.features
        return Resolved(config.model_copy(update={"model": members, "features": features}), bases)
    return Resolved(config)


def load_base(models_dir: Path, name: str) -> BaseArtifact:
    """The stored model of this name, verified. Raises InvalidConfig."""
    try:
        loaded: Artifact = artifact.load(models_dir / name)
    except ArtifactError as error:
        raise InvalidConfig(f"The model {name!r} cannot be used as a base: {error}.") from error
    assert isinstance(loaded.card, StoredCard)
    return BaseArtifact(name, loaded.card, loaded.model)


def _check_members(bases: tuple[BaseArtifact, ...]) -> None:
    """Raise InvalidConfig unless all members have the same features, patch length and labels."""
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
