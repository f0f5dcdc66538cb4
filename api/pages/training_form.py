"""The form that writes the configuration of a training: its common keys, as the schema describes them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from fastapi import Depends, Query
from pydantic import BaseModel, Field

from api.pages.forms import Blank
from core.config.dataset import CorrectionsDataset, LabelConfig, LibraryDataset, SplitConfig
from core.config.experiment import ExperimentConfig, TrainingConfig, parse_experiment
from core.config.models import (
    AudioCNNConfig,
    CRNNConfig,
    MultiLabelAudioCNNConfig,
    RandomForestConfig,
    TransferConfig,
)
from core.config.yaml_files import dump_mapping

Labels = Literal["genre_tags", "corrections", "folder"]
LABELS = (
    ("genre_tags", "Genre tags of the files"),
    ("corrections", "What people said: corrections"),
    ("folder", "Names of folders"),
)
MODELS: tuple[type[BaseModel], ...] = (
    TransferConfig,
    MultiLabelAudioCNNConfig,
    AudioCNNConfig,
    CRNNConfig,
    RandomForestConfig,
)
KINDS = {str(model.model_fields["kind"].default): model for model in MODELS}
HEADS = get_args(TransferConfig.model_fields["head"].annotation)
MOST_NAME = 80  # characters

Text = Annotated[Annotated[str, Field(max_length=200)] | None, Blank, Query()]
Integer = Annotated[Annotated[int, Field(ge=-(10**9), le=10**9)] | None, Blank, Query()]
Number = Annotated[Annotated[float, Field(ge=-1e9, le=1e9)] | None, Blank, Query()]


@dataclass(frozen=True)
class Filled:
    """What the form says; None for what keeps its usual value."""

    library: str | None
    labels: Labels
    path: str | None
    experiment_name: str | None
    num_genres: int | None
    kind: str
    head: str | None
    epochs: int | None
    lr: float | None
    folds: int | None
    seed: int | None

    def experiment(self) -> ExperimentConfig:
        """Raises InvalidConfig."""
        of_corrections = self.labels == "corrections"
        dataset = {
            "kind": "corrections" if of_corrections else "library",
            "library": self.library,
            "path": self.path,
            "labels_from": None if of_corrections else self.labels,
        }
        content = {
            "experiment_name": self.experiment_name or _name_after(self.library or ""),
            "dataset": dataset,
            "labels": {"num_genres": self.num_genres},
            "split": {"folds": self.folds},
            "model": {"kind": self.kind, "head": self.head if self.kind == "transfer" else None},
            "training": {"epochs": self.epochs, "lr": self.lr},
            "seed": self.seed,
        }
        return parse_experiment(_given(content))


def write_yaml(experiment: ExperimentConfig) -> str:
    """The keys that were given; all others keep their usual values."""
    return dump_mapping(experiment.model_dump(mode="json", exclude_unset=True))


async def get_filled(
    library: Text = None,
    labels: Annotated[Labels, Query()] = "genre_tags",
    path: Text = None,
    experiment_name: Text = None,
    num_genres: Integer = None,
    kind: Annotated[str, Query(max_length=100)] = "transfer",
    head: Text = None,
    epochs: Integer = None,
    lr: Number = None,
    folds: Integer = None,
    seed: Integer = None,
) -> Filled:
    return Filled(library, labels, path, experiment_name, num_genres, kind, head, epochs, lr, folds, seed)


FilledDep = Annotated[Filled, Depends(get_filled)]


@dataclass(frozen=True)
class FormField:
    """A field with the description of its key; `options` are pairs of a value and what is shown for it."""

    name: str
    label: str
    help: str
    options: Sequence[tuple[str, str]] = ()
    step: str = ""  # of a number


def fields(libraries: Sequence[str]) -> list[FormField]:
    """The common keys of an experiment, with the descriptions of the schema."""
    names = [(name, name) for name in libraries]
    heads = [("", "the usual one"), *((head, head) for head in HEADS)]
    return [
        FormField("library", "Library", _help(LibraryDataset, "library"), names),
        FormField("labels", "Labels from", _doc(CorrectionsDataset, "Corrections: "), LABELS),
        FormField("path", "Folder", _help(LibraryDataset, "path") + "; empty: all of it"),
        FormField("experiment_name", "Name", "of the models that it makes; by default that of the library"),
        FormField("num_genres", "Number of labels", _help(LabelConfig, "num_genres"), step="1"),
        FormField(
            "kind",
            "Kind of model",
            " ".join(f"{kind}: {_doc(model)}" for kind, model in KINDS.items()),
            [(kind, kind) for kind in KINDS],
        ),
        FormField("head", "Head of transfer", _help(TransferConfig, "head"), heads),
        FormField("epochs", "Epochs", _usual(TrainingConfig, "epochs", "at most"), step="1"),
        FormField("lr", "Learning rate", _usual(TrainingConfig, "lr"), step="any"),
        FormField("folds", "Folds", _help(SplitConfig, "folds"), step="1"),
        FormField("seed", "Seed", _usual(ExperimentConfig, "seed", "of every choice by chance"), step="1"),
    ]


def _help(model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    found = [field.description, *(getattr(each, "description", None) for each in _parts(field.annotation))]
    return next((text for text in found if text), "")


def _parts(annotation: Any) -> list[Any]:
    """What `Annotated` has added within a union."""
    return [added for part in get_args(annotation) for added in getattr(part, "__metadata__", ())]


def _usual(model: type[BaseModel], name: str, what: str = "") -> str:
    text = ", ".join(filter(None, (_help(model, name), what)))
    return f"{text}; usually {model.model_fields[name].default:g}"


def _doc(model: type[BaseModel], before: str = "") -> str:
    text = (model.__doc__ or "").strip().split("\n")[0]
    return f"{before}{text[0].lower()}{text[1:]}" if before else text


def _name_after(library: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", library.lower()).strip("-._")[:MOST_NAME] or "my-model"


def _given(content: dict[str, Any]) -> dict[str, Any]:
    """Without what is None, and without what is empty then."""
    found = {key: _given(value) if isinstance(value, dict) else value for key, value in content.items()}
    return {key: value for key, value in found.items() if value is not None and value != {}}
