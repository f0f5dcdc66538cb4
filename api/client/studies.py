"""The `studies` command: list and show studies, train the best trial, export, delete."""

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from api import schemas
from api.client import display
from api.client.connection import connect
from api.client.http import Client, ClientError, UsageError
from api.client.lists import Limit, Pages, check_limit, most_of, show_list
from api.client.options import Json, SaveFolder
from api.client.references import Reference, find_study
from api.client.train import follow_training
from core.output.files import whole_file
from core.output.measures import FEW_TRIALS, title_of
from core.states import TrialState

SHOWN_TRIALS = 15


def studies(
    study: Reference = None,
    train_best: Annotated[
        bool,
        typer.Option(
            "--train-best", help="Train a model with the parameters of its best trial, for all epochs."
        ),
    ] = False,
    trial: Annotated[int | None, typer.Option(min=0, help="Train this trial instead.")] = None,
    save: SaveFolder = None,
    delete: Annotated[bool, typer.Option("--delete", help="Delete it with its trials.")] = False,
    export_optuna: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Write it into an Optuna storage, such as sqlite:///studies.db."),
    ] = None,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """List studies; show, save or delete one, train its best."""
    is_training = train_best or trial is not None
    actions = is_training + delete + (export_optuna is not None) + (save is not None)
    if study is None and actions:
        raise UsageError("Name the study: `mfa studies ID --train-best`.")
    if actions > 1:
        raise UsageError("One thing at a time: train the best of a study, save, export or delete it.")
    if as_json and (save is not None or export_optuna is not None):
        raise UsageError("--json does not go with --save and --export-optuna.")
    check_limit(limit, study)
    with connect() as client:
        if study is None:
            show_studies(Pages(client.list_studies, most_of(limit)), as_json=as_json)
            return
        study_id = find_study(client, study)
        if export_optuna is not None:
            export_study(client, study_id, export_optuna)
        elif delete:
            client.delete_study(study_id)
            sentence = f"Study {study_id} is deleted; models trained from it stay."
            display.show_answer(None, sentence, as_json=as_json)
        elif is_training:
            follow_training(client, client.train_best(study_id, trial), as_json=as_json)
        elif save is not None:
            save_plots(client, study_id, save)
        elif as_json:
            display.show_json(client.get_study(study_id))
        else:
            show_study(client, study_id)


def show_studies(found: Pages[schemas.Study], *, as_json: bool) -> None:
    show_list(
        found,
        ("id", "study", "state", "trials", "submitted"),
        lambda study: (
            study.id,
            study.name,
            display.Name(study.state or ""),
            counts_of(study.counts),
            study.created_at,
        ),
        as_json=as_json,
        when_empty=lambda: "There are no studies yet: `mfa tune --config FILE` makes one.",
    )


def counts_of(counts: Mapping[TrialState, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def show_study(client: Client, study_id: UUID) -> None:
    study = client.get_study(study_id)
    state = study.state or "its job is gone"
    display.say(f"{study.name}: {state}, trials: {counts_of(study.counts)}", "bold")
    show_trials(study)
    for metric, shares in (study.importances or {}).items():
        by_share = sorted(shares.items(), key=lambda each: -each[1])
        display.show_table(f"Share of the variance of {title_of(metric)}", ("key", "share"), by_share)
    complete = study.counts.get(TrialState.COMPLETE, 0)
    if study.importances and complete < FEW_TRIALS:
        display.say(f"Only {complete} trials are complete: the shares are rough.")
    for failure in study.failures:
        display.say(f"A trial failed: {failure.detail}", "red")
    show_best(study)
    if study.plots:
        display.say(f"Pictures: {', '.join(study.plots)}; `mfa studies {study.id} --save FOLDER` saves them.")


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
            ("trial", *map(title_of, objectives), "parameters"),
            (
                (
                    trial.number,
                    *(trial.values.get(name) for name in objectives),
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


def save_plots(client: Client, study_id: UUID, folder: Path) -> None:
    study = client.get_study(study_id)
    if not study.plots:
        raise ClientError("The study has no pictures: they are drawn when a trial is complete.")
    folder.mkdir(parents=True, exist_ok=True)
    for name in study.plots:
        with whole_file(folder / f"{name}.png") as out:
            out.write(client.get_plot(study_id, name))
        display.say(str(folder / f"{name}.png"))


def export_study(client: Client, study_id: UUID, url: str) -> None:
    """In a process of its own that has the workers' packages, Optuna among them."""
    study = client.get_study(study_id)
    content = {
        "name": f"{study.name} {study.id}",
        "config": study.config,
        "trials": [trial.model_dump(mode="json") for trial in Pages(partial(client.list_trials, study.id))],
    }
    command = (sys.executable, "-m", "core.ml.tuning.export", url)
    if subprocess.run(command, input=json.dumps(content), text=True, check=False).returncode:
        raise ClientError("The study was not exported.")
    display.say(f"{study.name} with {len(content['trials'])} trials: `optuna-dashboard {url}`.")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
