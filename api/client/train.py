"""The `train` command: submit an experiment, follow its epochs, show how good the model is."""

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from api import schemas
from api.client import display
from api.client.connection import connect
from api.client.http import Client, UsageError
from api.client.options import Json, refuse_others
from api.client.progress import follow, result_of
from api.client.runs import show_measured
from core.config.dataset import InLibrary
from core.config.experiment import ExperimentConfig, load_experiment, parse_experiment
from core.output.measures import scores_of, title_of

GUESSING = "pr_auc_chance"
RANDOM = 0.5  # ROC-AUC of random scores
MOST_NAME = 80  # characters of the name of a model
DATA_DIR = ".mfa"  # how a configuration names the server's data folder


class LabelsFrom(StrEnum):
    """Where the labels of a library come from."""

    GENRE_TAGS = "genre_tags"
    CORRECTIONS = "corrections"
    FOLDER = "folder"


def train(
    context: typer.Context,
    library: Annotated[
        str | None, typer.Argument(help="A library, to train on without a file; it prints the configuration.")
    ] = None,
    labels: Annotated[
        LabelsFrom, typer.Option(help="Where the labels of the library come from.")
    ] = LabelsFrom.GENRE_TAGS,
    label_set: Annotated[
        str | None, typer.Option(help="With --labels corrections: learn the labels of this set.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A YAML file, such as configs/experiments/transfer.yaml.")
    ] = None,
    num_genres: Annotated[
        int | None, typer.Option(help="Number of labels to learn, the most frequent first.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Maximum number of epochs.")] = None,
    lr: Annotated[float | None, typer.Option(help="Maximum learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Patches per training step.")] = None,
    experiment_name: Annotated[str | None, typer.Option(help="Also the name of the new model.")] = None,
    as_json: Json = False,
) -> None:
    """Train a model on your own labels and show its metrics."""
    overrides = {
        "num_genres": num_genres,
        "epochs": epochs,
        "lr": lr,
        "batch_size": batch_size,
        "experiment_name": experiment_name,
    }
    if (library is None) == (config is None):
        raise UsageError("Name a library, or --config FILE, and not both.")
    if config is not None:
        refuse_others(context, "--config", {"config", *overrides, "as_json"})
    if label_set is not None and labels != LabelsFrom.CORRECTIONS:
        raise UsageError("--label-set belongs to --labels corrections.")
    with connect() as client:
        if config is not None:
            experiment = load(config, overrides)
        else:
            experiment = of_library(library or "", labels, label_set, overrides)
            if not as_json:
                show_config(experiment)
        follow_training(client, client.submit_training(experiment), as_json=as_json)


def load(file: Path, overrides: Mapping[str, Any]) -> ExperimentConfig:
    """The experiment of a file; its dataset's root is relative to the working directory."""
    return place_root(load_experiment(file, overrides))


def of_library(
    library: str, labels: LabelsFrom, label_set: str | None, overrides: Mapping[str, Any]
) -> ExperimentConfig:
    """A head on the default backbone for the tracks of a library; it is named after the library."""
    dataset: dict[str, Any] = {"kind": "corrections", "library": library}
    if label_set is not None:
        dataset["label_set"] = label_set
    if labels != LabelsFrom.CORRECTIONS:
        dataset = {"kind": "library", "library": library, "labels_from": str(labels)}
    name = re.sub(r"[^a-z0-9._-]+", "-", library.lower()).strip("-._")[:MOST_NAME] or "my-model"
    found = {"experiment_name": name, "dataset": dataset, "model": {"kind": "transfer"}}
    return parse_experiment(found, overrides)


def show_config(experiment: ExperimentConfig) -> None:
    """As a file for --config; what it does not name has its default value."""
    given = experiment.model_dump(mode="json", exclude_unset=True)
    display.say(yaml.safe_dump(given, sort_keys=False, allow_unicode=True).rstrip())


def place_root(config: ExperimentConfig) -> ExperimentConfig:
    """Make the dataset's root absolute, unless it lies in the server's data folder."""
    if isinstance(config.dataset, InLibrary) or Path(config.dataset.root).parts[:1] == (DATA_DIR,):
        return config
    root = str(Path(config.dataset.root).expanduser().resolve())
    return config.model_copy(update={"dataset": config.dataset.model_copy(update={"root": root})})


def follow_training(client: Client, job: schemas.Job, *, as_json: bool = False) -> None:
    job = follow(client, job)
    if as_json:
        display.show_json(job)
    outcome = result_of(job, schemas.TrainingOutcome, "training")
    if as_json:
        return
    show_outcome(outcome)
    display.say(next_of(outcome))


def next_of(outcome: schemas.TrainingOutcome) -> str:
    """How to go on; of a model of which nothing is known, not with it."""
    if outcome.measured_labels == 0:
        return (
            "No label can be measured, so nothing is known of how good the model is: add tracks by other "
            f"artists. `mfa runs {outcome.run_id}` shows the run."
        )
    return (
        f"Next: `mfa models preview {outcome.model}` shows what would change in the libraries; "
        f"`mfa runs {outcome.run_id}` shows the run."
    )


def guessing_of(outcome: schemas.TrainingOutcome) -> dict[str, schemas.Interval]:
    """What random scores reach, to hold the measures against: a model below it has learnt nothing."""
    chance = outcome.metrics.get(GUESSING)
    return {} if chance is None else {GUESSING: schemas.Interval(value=chance, low=None, high=None)}


def below_guessing(outcome: schemas.TrainingOutcome) -> list[str]:
    """Labels whose tracks the model ranks worse than random scores would."""
    return [each.label for each in outcome.labels if each.roc_auc is not None and each.roc_auc < RANDOM]


def show_outcome(outcome: schemas.TrainingOutcome) -> None:
    measures = outcome.intervals or {
        name: schemas.Interval(value=value, low=None, high=None)
        for name, value in scores_of(outcome.metrics).items()
    }
    way = "cross-validated" if outcome.evaluated_on == "out_of_fold" else "on test tracks"
    display.show_table(
        f"{outcome.model}, {way}",
        ("measure", "value", "low (95 %)", "high (95 %)"),
        (
            (title_of(name), interval.value, interval.low, interval.high)
            for name, interval in (measures | guessing_of(outcome)).items()
        ),
    )
    display.show_table(
        "Per label",
        ("label", "tracks", "ROC-AUC", "PR-AUC", "F1"),
        ((each.label, each.support, each.roc_auc, each.pr_auc, each.f1) for each in outcome.labels),
    )
    show_measured(outcome.measured_labels, len(outcome.labels))
    if worse := below_guessing(outcome):
        display.say(f"Ranked worse than by guessing (ROC-AUC below {RANDOM}): {', '.join(worse)}.", "red")
    if outcome.dropped:
        display.say(f"{outcome.dropped} tracks could not be read and were left out.")
    for warning in outcome.warnings:
        display.say(f"Note: {warning}")
    display.say(f"The new model is {outcome.model}.", "bold")
