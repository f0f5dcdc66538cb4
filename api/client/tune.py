"""The `tune` and `studies` commands: submit a study, follow its trials, show what it found."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

from api import schemas
from api.client import display
from api.client.http import Client, ClientError
from api.client.label import follow, leave_or_cancel
from api.client.train import follow_training, place_root
from core.config.experiment import parse_experiment
from core.config.params import ThresholdParams
from core.config.search_space import explicit_fields
from core.config.tuning import TuningConfig, load_tuning
from core.states import JobState, TrialState

SHOWN_STUDIES, SHOWN_TRIALS = 20, 15


def load(file: Path, changes: dict[str, Any]) -> TuningConfig:
    """The study of a file; the root of an experiment in it is relative to the working directory."""
    config = load_tuning(file)
    if isinstance(config.experiment, dict):
        placed = explicit_fields(place_root(parse_experiment(config.experiment)))
        config = config.model_copy(update={"experiment": placed})
    return config.model_copy(update={name: value for name, value in changes.items() if value is not None})


def tune(client: Client, config: TuningConfig) -> None:
    follow_study(client, client.submit_study(config))


def resume(client: Client, study_id: UUID, trials: int) -> None:
    follow_study(client, client.resume_study(study_id, trials))


def follow_study(client: Client, job: schemas.Job) -> None:
    job = _to_its_end(client, job)
    if job.state == JobState.CANCELLED:
        raise ClientError("The study was cancelled; its finished trials are kept.")
    if not isinstance(job.result, schemas.TuningOutcome):
        raise ClientError(f"The study failed: {job.error.detail if job.error else 'no reason is known.'}")
    show_study(client, job.result.study_id)
    display.say(
        f"Next: `mfa studies {job.result.study_id} --train-best` trains the best for all epochs; "
        f"`mfa tune --resume {job.result.study_id} --trials 20` goes on."
    )


def tune_thresholds(client: Client, params: ThresholdParams) -> None:
    job = _to_its_end(client, client.submit_thresholds(params))
    if not isinstance(job.result, schemas.ThresholdOutcome):
        raise ClientError(f"Nothing came of it: {job.error.detail if job.error else job.state}")
    show_thresholds(job.result)


def _to_its_end(client: Client, job: schemas.Job) -> schemas.Job:
    try:
        return follow(client, job)
    except KeyboardInterrupt:
        leave_or_cancel(client, job)
        raise


def show_thresholds(outcome: schemas.ThresholdOutcome) -> None:
    display.show_table(
        "On the validation tracks",
        ("label", "tracks", "threshold", "before", "precision", "recall"),
        ((each.label, str(each.support), *map(display.number_of, _figures(each))) for each in outcome.labels),
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


def show_studies(client: Client) -> None:
    display.show_table(
        "",
        ("id", "study", "state", "trials", "submitted"),
        (
            (
                str(study.id),
                study.name,
                study.state or "",
                ", ".join(f"{count} {state}" for state, count in study.counts.items()),
                display.date_of(study.created_at),
            )
            for study in client.list_studies(SHOWN_STUDIES)
        ),
    )


def show_study(client: Client, study_id: UUID) -> None:
    study = client.get_study(study_id)
    counts = ", ".join(f"{count} {state}" for state, count in study.counts.items())
    display.say(f"{study.name}: {study.state or 'its job is gone'}, trials: {counts}", "bold")
    show_trials(study)
    for metric, shares in (study.importances or {}).items():
        display.show_table(
            "",
            ("key", f"share of {metric}"),
            ((key, display.number_of(share)) for key, share in shares.items()),
        )
    for failure in study.failures:
        display.say(f"A trial failed: {failure.detail}", "red")
    show_best(study)
    for name in study.plots:
        display.say(client.url_of(f"/studies/{study.id}/plots/{name}.png"))


def show_trials(study: schemas.StudyDetails) -> None:
    """The best complete trials first; the Pareto front where there are several objectives."""
    objectives = [objective["metric"] for objective in study.config["objectives"]]
    shown, title = study.pareto_front, f"Pareto front of {study.pareto_size} trials"
    if len(objectives) == 1:
        complete = study.counts.get(TrialState.COMPLETE, 0)
        shown, title = study.leaders, f"The best of {complete} complete trials"
    if shown:
        display.show_table(
            title,
            ("trial", *objectives, "parameters"),
            (
                (
                    str(trial.number),
                    *(display.number_of(trial.values.get(name)) for name in objectives),
                    ", ".join(f"{key} {_short(value)}" for key, value in trial.params.items()),
                )
                for trial in shown[:SHOWN_TRIALS]
            ),
        )


def show_best(study: schemas.StudyDetails) -> None:
    if study.best is not None:
        display.show_table(
            f"The best is trial {study.best.number}",
            ("key", "value"),
            ((key, _short(value)) for key, value in study.best.params.items()),
        )


def train_best(client: Client, study_id: UUID, trial: int | None) -> None:
    follow_training(client, client.train_best(study_id, trial))


def export_optuna(client: Client, study_id: UUID, url: str) -> None:
    """In a process of its own that has the workers' packages, Optuna among them."""
    study = client.get_study(study_id)
    content = {
        "name": f"{study.name} {study.id}",
        "config": study.config,
        "trials": [trial.model_dump(mode="json") for trial in client.iterate_trials(study_id)],
    }
    command = (sys.executable, "-m", "core.ml.tuning.export", url)
    if subprocess.run(command, input=json.dumps(content), text=True, check=False).returncode:
        raise ClientError("The study was not exported.")
    display.say(f"{study.name} with {len(content['trials'])} trials: `optuna-dashboard {url}`.")


def delete(client: Client, study_id: UUID) -> None:
    client.delete_study(study_id)
    display.say(f"Study {study_id} is deleted; models trained from it stay.")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
