"""The `runs` command: trainings, and what their model cards say."""

from collections.abc import Mapping, Sequence
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
from api.client.references import Reference, find_run
from core.output.files import whole_file
from core.output.measures import GROUPS, INTERVALS, scores_of, title_of, way_of

SHOWN_EPOCHS = 20
HEADLINE = ("pr_auc_macro", "PR-AUC")  # the measure of a list; `mfa runs ID` shows all
BOUNDS = ("low", "high")
RANKING = ("support", "roc_auc", "pr_auc", "chance")
DECISIONS = ("threshold", "precision", "recall", "f1")


def runs(
    run: Reference = None,
    save: SaveFolder = None,
    delete: Annotated[bool, typer.Option("--delete", help="Delete it; its model stays.")] = False,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """List training runs; show, save or delete one."""
    if run is None and (delete or save is not None):
        raise UsageError("Name the run: `mfa runs ID --delete`, or `mfa runs last --save FOLDER`.")
    if delete and save is not None:
        raise UsageError("One thing at a time: save the files of a run, or delete it.")
    if as_json and save is not None:
        raise UsageError("--json does not go with --save.")
    check_limit(limit, run)
    with connect() as client:
        if run is None:
            show_runs(Pages(client.list_runs, most_of(limit)), as_json=as_json)
            return
        run_id = find_run(client, run)
        if delete:
            client.delete_run(run_id)
            display.show_answer(None, f"Run {run_id} is deleted; its model stays.", as_json=as_json)
        elif save is not None:
            save_files(client, run_id, save)
        elif as_json:
            display.show_json(client.get_run(run_id))
        else:
            show_run(client.get_run(run_id))


def show_runs(found: Pages[schemas.Run], *, as_json: bool) -> None:
    show_list(
        found,
        ("id", "experiment", "state", "model", HEADLINE[1], "submitted"),
        lambda run: (
            run.id,
            run.experiment,
            display.Name(run.state or ""),
            run.model and display.Name(run.model),
            (run.metrics or {}).get(HEADLINE[0]),
            run.created_at,
        ),
        as_json=as_json,
        when_empty=lambda: (
            "There are no runs yet: `mfa train LIBRARY`, or `mfa train --config FILE`, makes one."
        ),
    )


def show_run(run: schemas.RunDetails) -> None:
    """As the model card: metrics with intervals, by group and by label, and notes; then the epochs."""
    display.say(f"{run.experiment}: {run.state or 'its job is gone'}", "bold")
    if run.model is not None:
        took = "" if run.duration_s is None else f", trained in {display.duration_of(run.duration_s)}"
        display.say(f"model {run.model}{took}, seed {run.seed}")
    results = run.results or {}
    display.say(f"dataset: {dataset_of(run.config.get('dataset', {}), results.get('tracks', {}))}")
    display.say(f"base models: {bases_of(run.config.get('model', {})) or 'none, trained from scratch'}")
    show_evaluation(run)
    show_epochs(run)
    if run.artifacts:
        display.say(f"Files: {', '.join(run.artifacts)}; `mfa runs {run.id} --save FOLDER` saves them.")


def show_evaluation(run: schemas.RunDetails) -> None:
    """How good the model is: metrics with intervals, by group and by label, and what cannot be measured."""
    results = run.results or {}
    if results.get("evaluated_on"):
        display.say(way_of(results.get("folds"), exclusive=results.get("single_label", False)))
    show_metrics(run.metrics or {}, results.get("intervals", {}))
    show_groups(results.get("groups", {}))
    show_labels(results.get("per_label", []), exclusive=results.get("single_label", False))
    show_measured((run.metrics or {}).get("measured_labels"), len(results.get("per_label", [])))
    show_notes(results)


def dataset_of(dataset: Mapping[str, Any], tracks: Mapping[str, int]) -> str:
    """`corrections, home (300 tracks, 60 test)`: its kind, its library or folder, and tracks by part."""
    names = [str(dataset[key]) for key in ("kind", "library", "root") if dataset.get(key)]
    counts = ", ".join(
        display.count_of(count, "track") if part == "all" else f"{count} {part}"
        for part, count in tracks.items()
    )
    return ", ".join(names) + (f" ({counts})" if counts else "")


def bases_of(model: Mapping[str, Any]) -> str:
    return ", ".join(filter(None, (model.get("backbone"), *model.get("members", ()))))


def show_metrics(
    metrics: Mapping[str, float | None], intervals: Mapping[str, Mapping[str, float | None]]
) -> None:
    """In the order of the model card."""
    if not metrics:
        return
    display.show_table(
        "Metrics",
        ("measure", "value", "low (95 %)", "high (95 %)"),
        (
            (title_of(name), value, *(intervals.get(name, {}).get(end) for end in BOUNDS))
            for name, value in scores_of(metrics).items()
        ),
    )
    if intervals:
        display.say(INTERVALS)


def show_groups(groups: Mapping[str, Mapping[str, float | None]]) -> None:
    if groups:
        display.show_table(
            "By group of labels",
            ("labels with", "measured", "ROC-AUC", "PR-AUC", "F1"),
            (
                (
                    GROUPS.get(name, name),
                    measured_in(means),
                    *(means.get(measure) for measure in ("roc_auc", "pr_auc", "f1")),
                )
                for name, means in groups.items()
            ),
        )


def measured_in(means: Mapping[str, float | None]) -> str:
    """`3 of 5`: labels of a group that its means are of, and all."""
    labels, measured = (means.get(name) or 0 for name in ("labels", "measured"))
    return f"{measured if 'measured' in means else labels:.0f} of {labels:.0f}"


def show_labels(labels: Sequence[Mapping[str, Any]], *, exclusive: bool) -> None:
    """Two tables, so that names of labels are whole at 80 columns: how they rank tracks, and decisions.

    Of `exclusive` labels the one with the highest score is given, so they have no thresholds.
    """
    if labels:
        display.show_table(
            "By label: the order of the tracks",
            ("label", "tracks", "ROC-AUC", "PR-AUC", "PR-AUC of guessing"),
            ((each["label"], *(each.get(name) for name in RANKING)) for each in labels),
        )
        display.show_table(
            "By label: the decisions",
            ("label", *([] if exclusive else ["threshold"]), "precision", "recall", "F1"),
            ((each["label"], *(each.get(name) for name in DECISIONS[exclusive:])) for each in labels),
        )


def show_measured(measured: float | None, labels: int) -> None:
    """How many labels the means are of; the notes say which others there are, and why.

    Earlier versions did not count them.
    """
    if measured is not None:
        display.say(f"Means over labels are of the {measured:.0f} of {labels} labels that can be measured.")


def show_notes(results: Mapping[str, Any]) -> None:
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
                    f"{each.learning_rate:.2g}" if each.learning_rate else None,
                    display.tenths_of(each.duration_s),
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
