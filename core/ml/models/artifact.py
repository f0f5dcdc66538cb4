"""Model artifacts: a folder with `model.safetensors` and `model.json`, sufficient to rebuild the model."""

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from core.atomic_write import sync_folder, write_durably
from core.config.base import Config
from core.config.models import Calibration, FeatureConfig, ModelConfig
from core.ml.models.zoo import build

WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "model.json"
Probability = Annotated[float, Field(ge=0, le=1)]


class ArtifactError(ValueError):
    """The folder is not a model that can be loaded."""


class ModelCard(Config):
    """Everything about a model except its weights."""

    format_version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    version: Annotated[int, Field(ge=1)]
    embedding: Annotated[str, Field(description="names the vector space: only equal names can be compared")]
    model: ModelConfig
    features: FeatureConfig
    labels: tuple[str, ...]
    thresholds: Annotated[tuple[Probability, ...], Field(description="a label is given from this score on")]
    calibration: Calibration | None = None
    parents: Annotated[
        dict[str, str], Field(description="label -> parent label, which never has a lower score")
    ] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)
    provenance: dict[str, str] = Field(default_factory=dict)
    licence: Annotated[str, Field(description="licence notice of the weights")] = ""

    @model_validator(mode="after")
    def _check_labels(self) -> Self:
        count = len(self.labels)
        if count == 0 or len(set(self.labels)) != count:
            raise ValueError("labels must be unique and not empty")
        per_label = [self.thresholds]
        if self.calibration is not None:
            per_label += [self.calibration.slopes, self.calibration.offsets]
        if any(len(values) != count for values in per_label):
            raise ValueError("each label needs a threshold and, if calibrated, a slope and an offset")
        return self


class StoredCard(ModelCard):
    """The card as stored in `model.json`, with the checksum of its weights."""

    weights_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class Artifact:
    card: ModelCard
    model: nn.Module  # in evaluation mode, on the CPU


def save(card: ModelCard, model: nn.Module, folder: Path, records: Mapping[str, bytes] | None = None) -> None:
    """Write the folder atomically, replacing an existing one.

    `records` are additional files by name, which loading does not need.
    """
    weights = save_tensors({name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()})
    stored = StoredCard(**card.model_dump(), weights_sha256=hashlib.sha256(weights).hexdigest())
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        staging.chmod(0o755)
        write_durably(staging / WEIGHTS_FILE, weights)
        write_durably(staging / CARD_FILE, (stored.model_dump_json(indent=2) + "\n").encode())
        for name, content in (records or {}).items():
            write_durably(staging / name, content)
        sync_folder(staging)
        if folder.exists():
            folder.rename(staging / "replaced")
        staging.rename(folder)
        shutil.rmtree(folder / "replaced", ignore_errors=True)
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def load(folder: Path) -> Artifact:
    """Load a model for inference and verify its weights. Raises ArtifactError."""
    try:
        stored = StoredCard.model_validate_json((folder / CARD_FILE).read_bytes())
        weights = (folder / WEIGHTS_FILE).read_bytes()
    except FileNotFoundError as error:
        raise ArtifactError(f"{folder} is not a model: {Path(error.filename).name} is missing") from error
    except ValidationError as error:
        raise ArtifactError(f"{folder / CARD_FILE} is not a valid model card: {error}") from error
    if hashlib.sha256(weights).hexdigest() != stored.weights_sha256:
        raise ArtifactError(f"{folder / WEIGHTS_FILE} is damaged: its checksum differs from {CARD_FILE}")
    model = build(stored.model, stored.features, len(stored.labels))
    try:
        model.load_state_dict(load_tensors(weights))
    except RuntimeError as error:
        raise ArtifactError(f"{folder}: the weights do not belong to this card: {error}") from error
    return Artifact(stored, model.eval().requires_grad_(False))
