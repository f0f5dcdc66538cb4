"""The `mfa` command."""

from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from typer.core import TyperGroup

from api.client import (
    correct,
    datasets,
    display,
    jobs,
    keys,
    label,
    libraries,
    local,
    models,
    runs,
    tracks,
    train,
    tune,
)
from api.client.connection import connect, load_settings
from api.client.http import ClientError
from core.config.params import ThresholdParams
from core.errors import MFAError


class Commands(TyperGroup):
    """Reports every expected error in one line."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ClientError as error:
            display.complain(str(error))
        except MFAError as error:
            display.complain(error.detail)
        except OSError as error:
            display.complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        except KeyboardInterrupt:
            display.complain("Interrupted.")
            raise typer.Exit(130) from None
        raise typer.Exit(1)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Label music libraries: genres with scores, embeddings, similar tracks.",
)
app.add_typer(keys.app, name="keys")
app.add_typer(libraries.app, name="libraries")
app.add_typer(models.app, name="models")
app.command("datasets", **datasets.AS_IT_IS)(datasets.run)


@app.command("label")
def label_folder(
    folder: Annotated[Path, typer.Argument(help="A folder of music, on the machine of the server.")],
    library: Annotated[
        str | None, typer.Option(help="Name of its library; by default the folder's name.")
    ] = None,
    coverage: Annotated[
        str, typer.Option(help="`full`, or the number of evenly spaced windows to analyse.")
    ] = "full",
    force: Annotated[
        bool, typer.Option("--force", help="Analyse tracks again that already have a result.")
    ] = False,
    csv: Annotated[Path | None, typer.Option(help="Write all scores of all tracks to this file.")] = None,
    confirm_empty: Annotated[
        bool,
        typer.Option("--confirm-empty", help="Mark the known tracks as missing even when all are gone."),
    ] = False,
) -> None:
    """Label every track of a folder and show the results."""
    with connect() as client:
        label.label_folder(
            client, folder, library, coverage, force=force, csv=csv, confirm_empty=confirm_empty
        )


@app.command("jobs")
def show_jobs(
    job_id: Annotated[UUID | None, typer.Argument(help="Show this one; without it, list the newest.")] = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="Stop it; what is done is kept.")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Submit its failed items again.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Delete it; its labels stay.")] = False,
) -> None:
    """List jobs, or show, cancel, retry or delete one."""
    if job_id is None and (cancel or retry or delete):
        raise ClientError("Name the job to cancel or retry or delete: `mfa jobs ID --cancel`.")
    if cancel + retry + delete > 1:
        raise ClientError("A job can be cancelled, retried or deleted, not both.")
    with connect() as client:
        if job_id is None:
            jobs.show_jobs(client)
        elif cancel:
            jobs.cancel(client, job_id)
        elif retry:
            jobs.retry(client, job_id)
        elif delete:
            jobs.delete(client, job_id)
        else:
            jobs.show_job(client, job_id)


@app.command()
def similar(
    track: Annotated[str, typer.Argument(help="Id of a track, path of its file, or path in its library.")],
    limit: Annotated[int, typer.Option(min=1, max=100)] = 10,
    duplicates: Annotated[bool, typer.Option("--duplicates", help="Also list its duplicates.")] = False,
) -> None:
    """List the tracks that sound most like one."""
    with connect() as client:
        tracks.show_similar(client, track, limit, duplicates=duplicates)


@app.command("duplicates")
def show_duplicates(
    library: Annotated[str | None, typer.Option(help="Look in this library only.")] = None,
    similar: Annotated[
        bool, typer.Option("--similar", help="Find encodings of one recording, not identical audio.")
    ] = False,
) -> None:
    """List tracks that probably hold the same recording; nothing is changed."""
    with connect() as client:
        tracks.show_duplicates(client, "similar" if similar else "exact", library)


@app.command("correct", context_settings={"ignore_unknown_options": True})
def correct_labels(
    track: Annotated[
        str | None, typer.Argument(help="Id of a track, path of its file, or path in its library.")
    ] = None,
    labels: Annotated[
        list[str] | None, typer.Argument(help="Like +jazz (yes), -rock (no), ?pop (unsure).")
    ] = None,
    note: Annotated[str | None, typer.Option(help="Kept in the history.")] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Instead: a file `path,label,verdict`, or `path,labels`.")
    ] = None,
    from_tags: Annotated[
        bool, typer.Option("--from-tags", help="Instead: take over the genre tags of a library.")
    ] = False,
    library: Annotated[str | None, typer.Option(help="Of --csv and --from-tags.")] = None,
    undo: Annotated[UUID | None, typer.Option(help="Instead: take back this change.")] = None,
    allow_new: Annotated[
        bool, typer.Option("--allow-new", help="Also labels that no label set and no model has.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count; with --csv and --from-tags.")
    ] = False,
) -> None:
    """Say which labels a track has and which not; that outranks every model, now and later."""
    if sum((track is not None, csv is not None, from_tags, undo is not None)) != 1:
        raise ClientError("Name one of TRACK, --csv FILE, --from-tags and --undo CHANGE.")
    if (csv is not None or from_tags) != (library is not None):
        raise ClientError("--library belongs to --csv and --from-tags, which need it.")
    if track is not None and not labels:
        raise ClientError("Name the labels: `mfa correct TRACK +jazz -rock`.")
    with connect() as client:
        if track is not None:
            correct.correct_track(client, track, labels or [], note, allow_new=allow_new)
        elif undo is not None:
            correct.undo(client, undo)
        elif csv is not None:
            correct.import_csv(client, library or "", csv, allow_new=allow_new, dry_run=dry_run)
        else:
            correct.import_tags(client, library or "", allow_new=allow_new, dry_run=dry_run)


@app.command()
def review(
    label: Annotated[str | None, typer.Option(help="Ask about this label only: y, n or ?.")] = None,
    strategy: Annotated[str, typer.Option(help="margin, random, suspect or disagreement.")] = "margin",
    library: Annotated[str | None, typer.Option(help="Ask about this library only.")] = None,
    other: Annotated[str, typer.Option(help="The model that disagrees.")] = "previous",
) -> None:
    """Correct one track after the other, those first of which an answer teaches most."""
    with connect() as client:
        correct.review(client, strategy, label, library, other)


@app.command("train")
def train_model(
    library: Annotated[
        str | None, typer.Argument(help="A library, to train on without a file; it prints the configuration.")
    ] = None,
    labels: Annotated[
        train.LabelsFrom, typer.Option(help="Where the labels of the library come from.")
    ] = train.LabelsFrom.GENRE_TAGS,
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
        raise ClientError("Name a library, or --config FILE, and not both.")
    if label_set is not None and labels != train.LabelsFrom.CORRECTIONS:
        raise ClientError("--label-set belongs to --labels corrections.")
    with connect() as client:
        if config is not None:
            train.train(client, train.load(config, overrides))
        else:
            experiment = train.of_library(library or "", labels, label_set, overrides)
            train.show_config(experiment)
            train.train(client, experiment)


@app.command("tune")
def tune_model(
    config: Annotated[Path | None, typer.Option(help="A YAML file of configs/tuning.")] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Number of trials; with --resume, of additional ones.")
    ] = None,
    max_parallel: Annotated[
        int | None, typer.Option(min=1, help="Number of trials to run in parallel.")
    ] = None,
    resume: Annotated[UUID | None, typer.Option(help="Resume this study.")] = None,
    thresholds: Annotated[
        str | None, typer.Option(help="Instead: re-tune the label thresholds of this model.")
    ] = None,
    beta: Annotated[
        float | None,
        typer.Option(min=0.01, max=10, help="Weight of recall relative to precision (F-beta); 1 by default."),
    ] = None,
    min_precision: Annotated[
        float | None, typer.Option(min=0.01, max=1, help="Maximise recall at this precision or a higher one.")
    ] = None,
) -> None:
    """Tune the hyper-parameters of an experiment, or the thresholds of a model."""
    if sum(given is not None for given in (config, resume, thresholds)) != 1:
        raise ClientError("Name one of --config FILE, --resume STUDY and --thresholds MODEL.")
    if resume is not None and trials is None:
        raise ClientError("Give the number of additional trials: `mfa tune --resume STUDY --trials 20`.")
    if beta is not None and min_precision is not None:
        raise ClientError("Name --beta or --min-precision, and not both.")
    with connect() as client:
        if config is not None:
            tune.tune(client, tune.load(config, {"n_trials": trials, "max_parallel": max_parallel}))
        elif resume is not None:
            tune.resume(client, resume, trials or 0)
        elif thresholds is not None:
            wanted = ThresholdParams(model=thresholds, beta=beta, min_precision=min_precision)
            tune.tune_thresholds(client, wanted)


@app.command("studies")
def show_studies(
    study_id: Annotated[
        UUID | None, typer.Argument(help="Show this one; without it, list the newest.")
    ] = None,
    train_best: Annotated[
        bool,
        typer.Option(
            "--train-best", help="Train a model with the parameters of its best trial, for all epochs."
        ),
    ] = False,
    trial: Annotated[int | None, typer.Option(min=0, help="Train this trial instead.")] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Delete it with its trials.")] = False,
    export_optuna: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Write it into an Optuna storage, such as sqlite:///studies.db."),
    ] = None,
) -> None:
    """List studies, show one, train the best that it found, export it, or delete it."""
    actions = (train_best or trial is not None) + delete + (export_optuna is not None)
    if study_id is None and actions:
        raise ClientError("Name the study: `mfa studies ID --train-best`.")
    if actions > 1:
        raise ClientError("One thing at a time: train the best of a study, export the study, or delete it.")
    with connect() as client:
        if study_id is None:
            tune.show_studies(client)
        elif export_optuna is not None:
            tune.export_optuna(client, study_id, export_optuna)
        elif delete:
            tune.delete(client, study_id)
        elif train_best or trial is not None:
            tune.train_best(client, study_id, trial)
        else:
            tune.show_study(client, study_id)


@app.command("runs")
def show_runs(
    run_id: Annotated[UUID | None, typer.Argument(help="Show this one; without it, list the newest.")] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Delete it; its model stays.")] = False,
) -> None:
    """List training runs, show one, or delete one."""
    if delete and run_id is None:
        raise ClientError("Name the run to delete: `mfa runs ID --delete`.")
    with connect() as client:
        if run_id is None:
            runs.show_runs(client)
        elif delete:
            runs.delete(client, run_id)
        else:
            runs.show_run(client, run_id)


@app.command()
def serve(
    reload: Annotated[
        bool, typer.Option("--reload", help="Restart the gateway when its code changes, for development.")
    ] = False,
) -> None:
    """Run the whole stack on this machine until Ctrl-C."""
    local.serve(load_settings(), reload=reload)


@app.command()
def demo(
    music: Annotated[
        Path | None, typer.Argument(help="A folder of music; by default the sample library.")
    ] = None,
) -> None:
    """Start the stack, label a folder, show and save the results, stop everything."""
    local.demo(load_settings(), music)


if __name__ == "__main__":
    app(prog_name="mfa")
