"""The `runs` command: trainings, and what their model cards say."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from api import schemas
from api.client import display
from api.client.connection import connect
from api.client.http import Client, ClientError, UsageError
from api.client.options import Json, SaveFolder
from api.client.references import Reference, find_run
from core.output.files import whole_file

SHOWN_RUNS, SHOWN_EPOCHS = 20, 20
HEADLINE = ("pr_auc_macro", "PR-AUC")  # the measure of a list; `mfa runs ID` shows all
LABEL_MEASURES = ("support", "roc_auc", "pr_auc", "precision", "recall", "f1", "threshold")


def runs(
    run: Reference = None,
    save: SaveFolder = None,
    delete: Annotated[bool, typer.Option("--delete", help="Delete it; its model stays.")] = False,
    as_json: Json = False,
) -> None:
    """List training runs; show, save or delete one."""
    if run is None and (delete or save is not None):
        raise UsageError("Name the run: `mfa runs ID --delete`, or `mfa runs last --save FOLDER`.")
    if delete and save is not None:
        raise UsageError("One thing at a time: save the files of a run, or delete it.")
    if as_json and (delete or save is not None):
        raise UsageError("--json does not go with --delete and --save.")
    with connect() as client:
        if run is None:
            show_runs(client, as_json=as_json)
            return
        run_id = find_run(client, run)
        if delete:
            client.delete_run(run_id)
            display.say(f"Run {run_id} is deleted; its model stays.")
        elif save is not None:
            save_files(client, run_id, save)
        elif as_json:
            display.show_json(client.get_run(run_id))
        else:
            show_run(client.get_run(run_id))


def show_runs(client: Client, *, as_json: bool) -> None:
    page = client.list_runs(SHOWN_RUNS)
    if as_json:
        display.show_json(page)
        return
    if not page.items:
        display.note("There are no runs yet: `mfa train LIBRARY`, or `mfa train --config FILE`, makes one.")
        return
    display.show_table(
        "",
        ("id", "experiment", "state", "model", HEADLINE[1], "submitted"),
        (
            (
                run.id,
                run.experiment,
                display.Name(run.state or ""),
                run.model and display.Name(run.model),
                (run.metrics or {}).get(HEADLINE[0]),
                run.created_at,
            )
            for run in page.items
        ),
    )
    if page.next_cursor:
        display.note(f"These are the newest {len(page.items)}; `GET /api/v1/runs` lists all.")


def show_run(run: schemas.RunDetails) -> None:
    """As the model card: metrics with intervals, by group and by label, and notes; then the epochs."""
    display.say(f"{run.experiment}: {run.state or 'its job is gone'}", "bold")
    if run.model is not None:
        took = "" if run.duration_s is None else f", trained in {display.duration_of(run.duration_s)}"
        display.say(f"model {run.model}{took}, seed {run.seed}")
    results = run.results or {}
    if evaluated_on := results.get("evaluated_on"):
        display.say(way_of(evaluated_on, results.get("folds")))
    show_metrics(run.metrics or {}, results.get("intervals", {}))
    show_groups(results.get("groups", {}))
    show_labels(results.get("per_label", []))
    show_measured(
        (run.metrics or {}).get("measured_labels"),
        len(results.get("per_label", [])),
        results.get("unmeasured", {}),
    )
    show_notes(results)
    show_epochs(run)
    if run.artifacts:
        display.say(f"Files: {', '.join(run.artifacts)}; `mfa runs {run.id} --save FOLDER` saves them.")


def way_of(evaluated_on: str, folds: int | None) -> str:
    if evaluated_on == "out_of_fold":
        return f"Measured out of fold{f' in {folds} folds' if folds else ''}, on tracks not trained on."
    return "Measured on test tracks, on which neither weights nor thresholds were chosen."


def show_metrics(metrics: dict[str, float | None], intervals: dict[str, dict[str, float | None]]) -> None:
    if metrics:
        display.show_table(
            "Metrics",
            ("measure", "value", "low (95 %)", "high (95 %)"),
            (
                (name, value, intervals.get(name, {}).get("low"), intervals.get(name, {}).get("high"))
                for name, value in metrics.items()
            ),
        )


def show_groups(groups: dict[str, dict[str, float | None]]) -> None:
    if groups:
        display.show_table(
            "By group of labels",
            ("group", "measured", "ROC-AUC", "PR-AUC", "F1"),
            (
                (name, measured_in(means), *(means.get(measure) for measure in ("roc_auc", "pr_auc", "f1")))
                for name, means in groups.items()
            ),
        )


def measured_in(means: Mapping[str, float | None]) -> str:
    """`3 of 5`: labels of a group that its means are of, and all."""
    labels, measured = (means.get(name) or 0 for name in ("labels", "measured"))
    return f"{measured if 'measured' in means else labels:.0f} of {labels:.0f}"


def show_labels(labels: list[dict[str, Any]]) -> None:
    if labels:
        display.show_table(
            "By label",
            ("label", "tracks", "ROC-AUC", "PR-AUC", "prec.", "recall", "F1", "thresh."),
            ((each["label"], *(each.get(name) for name in LABEL_MEASURES)) for each in labels),
        )


def show_measured(measured: float | None, labels: int, unmeasured: Mapping[str, str]) -> None:
    """How many labels the means are of, and why the others are part of none; earlier versions noted less."""
    if measured is None:
        return
    display.say(f"Means over labels are of the {measured:.0f} of {labels} labels that can be measured.")
    for label, reason in unmeasured.items():
        display.say(f"{label} cannot be measured: {reason}.")


def show_notes(results: dict[str, Any]) -> None:
    if dropped := results.get("dropped"):
        display.say(f"{len(dropped)} tracks could not be read and were left out.")
    for warning in results.get("warnings", []):
        display.say(f"Note: {warning}")


def show_epochs(run: schemas.RunDetails) -> None:
    if run.epochs:
        display.show_table(
            f"The last {min(SHOWN_EPOCHS, len(run.epochs))} of {len(run.epochs)} epochs",
            ("fold", "epoch", "loss", "validation loss", "learning rate", "seconds"),
            (
                (
                    each.fold,
                    each.epoch,
                    each.train_loss,
                    each.validation_loss,
                    f"{each.learning_rate:.2g}",
                    each.duration_s,
                )
                for each in run.epochs[-SHOWN_EPOCHS:]
            ),
        )


def save_files(client: Client, run_id: UUID, folder: Path) -> None:
    run = client.get_run(run_id)
    if not run.artifacts:
        raise ClientError("The run has no files: they are there when a training has succeeded.")
    folder.mkdir(parents=True, exist_ok=True)
    for name in run.artifacts:
        with whole_file(folder / name) as out:
            out.write(client.get_artifact(run_id, name))
        display.say(str(folder / name))
