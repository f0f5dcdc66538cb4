"""The `tune` command: submit a study and follow its trials, or choose the thresholds of a model anew."""

from pathlib import Path
from typing import Any
from uuid import UUID

from api import schemas
from api.client import display
from api.client.http import Client, ClientError
from api.client.progress import follow
from api.client.studies import show_study
from api.client.train import place_root
from core.config.experiment import parse_experiment
from core.config.params import ThresholdParams
from core.config.search_space import explicit_fields
from core.config.tuning import TuningConfig, load_tuning
from core.states import JobState


def load(file: Path, changes: dict[str, Any]) -> TuningConfig:
    """The study of a file; the root of an experiment in it is relative to the working directory."""
    config = load_tuning(file)
    if isinstance(config.experiment, dict):
        placed = explicit_fields(place_root(parse_experiment(config.experiment)))
        config = config.model_copy(update={"experiment": placed})
    return config.model_copy(update={name: value for name, value in changes.items() if value is not None})


def tune(client: Client, config: TuningConfig, *, as_json: bool) -> None:
    follow_study(client, client.submit_study(config), as_json=as_json)


def resume(client: Client, study_id: UUID, trials: int, *, as_json: bool) -> None:
    follow_study(client, client.resume_study(study_id, trials), as_json=as_json)


def follow_study(client: Client, job: schemas.Job, *, as_json: bool) -> None:
    job = follow(client, job)
    if as_json:
        display.show_json(job)
    if job.state == JobState.CANCELLED:
        raise ClientError("The study was cancelled; its finished trials are kept.")
    if not isinstance(job.result, schemas.TuningOutcome):
        raise ClientError(f"The study failed: {job.error.detail if job.error else 'no reason is known.'}")
    if as_json:
        return
    show_study(client, job.result.study_id)
    display.say(
        f"Next: `mfa studies {job.result.study_id} --train-best` trains the best for all epochs; "
        f"`mfa tune --resume {job.result.study_id} --trials 20` goes on."
    )


def tune_thresholds(client: Client, params: ThresholdParams, *, as_json: bool) -> None:
    job = follow(client, client.submit_thresholds(params))
    if as_json:
        display.show_json(job)
    if not isinstance(job.result, schemas.ThresholdOutcome):
        raise ClientError(f"Nothing came of it: {job.error.detail if job.error else job.state}")
    if not as_json:
        show_thresholds(job.result)


def show_thresholds(outcome: schemas.ThresholdOutcome) -> None:
    display.show_table(
        "On the validation tracks",
        ("label", "tracks", "threshold", "before", "precision", "recall"),
        ((each.label, each.support, *_figures(each)) for each in outcome.labels),
    )
    if not outcome.cross_fitted:
        display.say(
            "All validation tracks are of one artist or album: precision and recall are those on the tracks "
            "that the thresholds were chosen on, and too high.",
            "red",
        )
    if outcome.unreached:
        display.say(f"No threshold is precise enough for: {', '.join(outcome.unreached)}.", "red")
    display.say(f"The same weights with these thresholds are {outcome.model}.", "bold")
    display.say(f"Next: `mfa models promote {outcome.model}`, then `mfa label FOLDER`.")


def _figures(label: schemas.LabelThreshold) -> tuple[float | None, ...]:
    return label.threshold, label.before, label.precision, label.recall
