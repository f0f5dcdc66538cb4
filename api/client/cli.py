"""The `mfa` command."""

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from api.client import (
    correct,
    datasets,
    display,
    duplicates,
    jobs,
    keys,
    label,
    libraries,
    local,
    models,
    runs,
    similar,
    studies,
    tracks,
    train,
    tune,
)
from api.client.command_group import Commands
from api.client.connection import connect, load_settings
from api.client.http import ClientError, UsageError
from api.client.options import Json
from api.client.references import find_study
from core import VERSION
from core.config.params import ThresholdParams

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Label music libraries: genres with scores, embeddings, similar tracks.",
)


def show_versions(is_wanted: bool) -> None:
    """That of this command, and that of the server if it runs."""
    if not is_wanted:
        return
    display.say(f"mfa {VERSION}")
    try:
        with connect() as client:
            display.say(f"server {client.get_health().version} at {client.url}")
    except ClientError as error:
        display.say(f"server unknown: {error}")
    raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=show_versions, help="Versions of this and of the server."
        ),
    ] = False,
) -> None:
    """Label music libraries: genres with scores, embeddings, similar tracks."""


app.command("label")(label.label)
app.command("tracks")(tracks.tracks)
app.command("track")(tracks.track)
app.command("similar")(similar.similar)
app.command("duplicates")(duplicates.duplicates)
app.command("jobs")(jobs.jobs)
app.add_typer(libraries.app, name="libraries")
app.add_typer(models.app, name="models")
app.command("runs")(runs.runs)
app.command("studies")(studies.studies)
app.add_typer(keys.app, name="keys")
app.command("datasets", **datasets.AS_IT_IS)(datasets.run)


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
    as_json: Json = False,
) -> None:
    """Say which labels a track has; that outranks every model."""
    if sum((track is not None, csv is not None, from_tags, undo is not None)) != 1:
        raise UsageError("Name one of TRACK, --csv FILE, --from-tags and --undo CHANGE.")
    if (csv is not None or from_tags) != (library is not None):
        raise UsageError("--library belongs to --csv and --from-tags, which need it.")
    if track is not None and not labels:
        raise UsageError("Name the labels: `mfa correct TRACK +jazz -rock`.")
    with connect() as client:
        if track is not None:
            correct.correct_track(client, track, labels or [], note, allow_new=allow_new, as_json=as_json)
        elif undo is not None:
            correct.undo(client, undo, as_json=as_json)
        elif csv is not None:
            correct.import_csv(
                client, library or "", csv, allow_new=allow_new, dry_run=dry_run, as_json=as_json
            )
        else:
            correct.import_tags(client, library or "", allow_new=allow_new, dry_run=dry_run, as_json=as_json)


@app.command()
def review(
    label: Annotated[str | None, typer.Option(help="Ask about this label only: y, n or ?.")] = None,
    strategy: Annotated[str, typer.Option(help="margin, random, suspect or disagreement.")] = "margin",
    library: Annotated[str | None, typer.Option(help="Ask about this library only.")] = None,
    other: Annotated[str, typer.Option(help="The model that disagrees.")] = "previous",
) -> None:
    """Correct the tracks of which an answer teaches most."""
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
    if label_set is not None and labels != train.LabelsFrom.CORRECTIONS:
        raise UsageError("--label-set belongs to --labels corrections.")
    with connect() as client:
        if config is not None:
            train.train(client, train.load(config, overrides), as_json=as_json)
        else:
            experiment = train.of_library(library or "", labels, label_set, overrides)
            if not as_json:
                train.show_config(experiment)
            train.train(client, experiment, as_json=as_json)


@app.command("tune")
def tune_model(
    config: Annotated[Path | None, typer.Option(help="A YAML file of configs/tuning.")] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Number of trials; with --resume, of additional ones.")
    ] = None,
    max_parallel: Annotated[
        int | None, typer.Option(min=1, help="Number of trials to run in parallel.")
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(metavar="STUDY", help="Resume this study; its id may be cut short."),
    ] = None,
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
    as_json: Json = False,
) -> None:
    """Tune an experiment, or the thresholds of a model."""
    if sum(given is not None for given in (config, resume, thresholds)) != 1:
        raise UsageError("Name one of --config FILE, --resume STUDY and --thresholds MODEL.")
    if resume is not None and trials is None:
        raise UsageError("Give the number of additional trials: `mfa tune --resume STUDY --trials 20`.")
    if beta is not None and min_precision is not None:
        raise UsageError("Name --beta or --min-precision, and not both.")
    with connect() as client:
        if config is not None:
            study = tune.load(config, {"n_trials": trials, "max_parallel": max_parallel})
            tune.tune(client, study, as_json=as_json)
        elif resume is not None:
            tune.resume(client, find_study(client, resume), trials or 0, as_json=as_json)
        elif thresholds is not None:
            wanted = ThresholdParams(model=thresholds, beta=beta, min_precision=min_precision)
            tune.tune_thresholds(client, wanted, as_json=as_json)


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
    """Label a folder with a stack that is stopped afterwards."""
    local.demo(load_settings(), music)


if __name__ == "__main__":
    app(prog_name="mfa")
