"""The `train` command: submit an experiment, follow its epochs, show how good the model is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from api import schemas
from api.client import display
from api.client.http import Client, ClientError
from api.client.label import follow, leave_or_cancel
from core.config.dataset import InLibrary
from core.config.experiment import ExperimentConfig, load_experiment
from core.states import JobState

DATA_DIR = ".mfa"  # how a configuration names the server's data folder


def load(file: Path, overrides: Mapping[str, Any]) -> ExperimentConfig:
    """The experiment of a file; its dataset's root is relative to the working directory."""
    return place_root(load_experiment(file, overrides))


def place_root(config: ExperimentConfig) -> ExperimentConfig:
    """Make the dataset's root absolute, unless it lies in the server's data folder."""
    if isinstance(config.dataset, InLibrary) or Path(config.dataset.root).parts[:1] == (DATA_DIR,):
        return config
    root = str(Path(config.dataset.root).expanduser().resolve())
    return config.model_copy(update={"dataset": config.dataset.model_copy(update={"root": root})})


def train(client: Client, experiment: ExperimentConfig) -> None:
    follow_training(client, client.submit_training(experiment))


def follow_training(client: Client, job: schemas.Job) -> None:
    try:
        job = follow(client, job)
    except KeyboardInterrupt:
        leave_or_cancel(client, job)
        raise
    if job.state == JobState.CANCELLED:
        raise ClientError("The training was cancelled.")
    if not isinstance(job.result, schemas.TrainingOutcome):
        raise ClientError(f"The training failed: {job.error.detail if job.error else 'no reason is known.'}")
    show_outcome(job.result)
    display.say(
        f"Next: `mfa models promote {job.result.model}`, then `mfa label FOLDER`; "
        f"`mfa runs {job.result.run_id}` shows the run."
    )


def show_outcome(outcome: schemas.TrainingOutcome) -> None:
    way = "cross-validated" if outcome.evaluated_on == "out_of_fold" else "on test tracks"
    display.show_table(
        f"{outcome.model}, {way}",
        ("measure", "value", "95 % interval"),
        (
            (name, display.number_of(interval.value), display.interval_of(interval))
            for name, interval in outcome.intervals.items()
        ),
    )
    display.show_table(
        "Per label",
        ("label", "tracks", "ROC-AUC", "PR-AUC", "F1"),
        ((each.label, str(each.support), *measures_of(each)) for each in outcome.labels),
    )
    if outcome.dropped:
        display.say(f"{outcome.dropped} tracks could not be read and were left out.")
    for warning in outcome.warnings:
        display.say(f"Note: {warning}")
    display.say(f"The new model is {outcome.model}.", "bold")


def measures_of(label: schemas.LabelOutcome) -> list[str]:
    return [display.number_of(value) for value in (label.roc_auc, label.pr_auc, label.f1)]
