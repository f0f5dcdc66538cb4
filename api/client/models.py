"""The `models` commands."""

from typing import Annotated

import typer

from api import schemas
from api.client import display, retraining
from api.client import preview as previews
from api.client.connection import connect
from api.client.http import ClientError, UsageError
from api.client.options import Json, Yes
from api.client.runs import show_evaluation
from core.config.params import PreviewParams
from core.output.measures import scores_of, title_of
from core.spelling import suggest

HEADLINES = ("f1_macro", "pr_auc_macro", "roc_auc_macro")

app = typer.Typer(help="List, show, preview, compare, promote or retrain models.")


@app.callback(invoke_without_command=True)
def models(context: typer.Context, as_json: Json = False) -> None:
    """List the models; show, promote or remove one."""
    if as_json and context.invoked_subcommand:
        raise UsageError(f"Write --json after `{context.invoked_subcommand}`.")
    if context.invoked_subcommand is None:
        with connect() as client:
            found = client.list_models()
            show_models(found, as_json=as_json)
            if not as_json:
                retraining.show_all(client.list_retrainings(), found)


def show_models(found: list[schemas.Model], *, as_json: bool) -> None:
    if as_json:
        display.show_json(found)
        return
    if not found:
        display.note("There are no models yet: `make model` fetches a pretrained one.")
        return
    display.show_table(
        "",
        ("model", "also called", "kind", "labels", "F1", "PR-AUC", "ROC-AUC"),
        (
            (
                display.Name(f"{model.name}@{model.version}"),
                ", ".join(model.aliases),
                model.kind,
                len(model.labels),
                *(scores_of(model.metrics).get(name) for name in HEADLINES),
            )
            for model in found
        ),
    )


@app.command()
def preview(
    model: Annotated[str, typer.Argument(help="`name`, which means its newest version, or `name@version`.")],
    against: Annotated[str, typer.Option(help="The model to compare it with.")] = "default",
    library: Annotated[str | None, typer.Option(help="Look at this library only.")] = None,
    as_json: Json = False,
) -> None:
    """Show what would change if a model were the default one. Nothing is changed, no file is opened."""
    with connect() as client:
        params = PreviewParams(model=model, against=against, library=library)
        previews.preview(client, params, as_json=as_json)


@app.command()
def compare(
    models: Annotated[list[str], typer.Argument(help="Two or more: `name` or `name@version`.")],
    as_json: Json = False,
) -> None:
    """Show models side by side. Says whether their measures can be compared."""
    with connect() as client:
        previews.compare(client, models, as_json=as_json)


@app.command()
def show(
    model: Annotated[str, typer.Argument(help="An alias, `name` or `name@version`.")] = "default",
    as_json: Json = False,
) -> None:
    """Show a model. What it is, how it was measured, its labels and their thresholds."""
    with connect() as client:
        found = find_model(client.list_models(), model)
        run = None if as_json or found.run_id is None else client.get_run(found.run_id)
    if as_json:
        display.show_json(found)
        return
    aliases = f", also called {', '.join(found.aliases)}" if found.aliases else ""
    display.say(f"{found.name}@{found.version}{aliases}", "bold")
    display.say(
        f"{found.kind} with {len(found.labels)} labels, embeddings of {found.embedding_size} numbers, "
        f"registered {display.date_of(found.created_at)}"
    )
    if run is not None:
        show_measures(found, run)
    elif scores := scores_of(found.metrics):
        rows = ((title_of(name), value) for name, value in scores.items())
        display.show_table("Metrics", ("measure", "value"), rows)
        display.say(measured_on(found))
    if found.single_label:
        display.say(f"A track gets the label with the highest score: {', '.join(found.labels)}.")
        return
    display.show_table("Labels", ("label", "threshold"), zip(found.labels, found.thresholds, strict=True))


def show_measures(model: schemas.Model, run: schemas.RunDetails) -> None:
    """As its run shows them; of a version with other thresholds, by those of the version that was trained."""
    show_evaluation(run)
    if run.model is not None and run.model != f"{model.name}@{model.version}":
        display.say(
            f"Note: its thresholds are not those of {run.model}, with which precision, recall and F1 were "
            "measured."
        )
    display.say(f"`mfa runs {run.id}` shows the training.")


def measured_on(model: schemas.Model) -> str:
    """How many tracks and labels the measures are of, as far as that was noted."""
    tracks, labels = (model.metrics.get(name) for name in ("tracks", "measured_labels"))
    of_tracks = f"Measured on {tracks:.0f} tracks" if tracks is not None else ""
    of_labels = f"means are of {labels:.0f} of {len(model.labels)} labels" if labels is not None else ""
    known = "; ".join(filter(None, (of_tracks, of_labels))) or "On what they were measured is not known here"
    return f"{known}."


def find_model(models: list[schemas.Model], reference: str) -> schemas.Model:
    """The one of an alias, `name`, which means its newest version, or `name@version`."""
    for model in models:
        if reference in (*model.aliases, model.name, f"{model.name}@{model.version}"):
            return model
    names = [name for model in models for name in (model.name, *model.aliases)]
    hint = suggest(reference.partition("@")[0], names, "`mfa models` lists them.")
    raise ClientError(f"There is no model {reference!r}{hint}")


@app.command()
def promote(
    model: Annotated[str, typer.Argument(help="`name`, which means its newest version, or `name@version`.")],
    as_json: Json = False,
) -> None:
    """Make a model the default one; `rollback` takes it back."""
    name, _, version = model.partition("@")
    if version and not version.isdecimal():
        raise UsageError(f"{model} names no model: write `name` or `name@version`.")
    with connect() as client:
        promoted = client.promote_model(name, int(version) if version else None)
    sentence = (
        f"{promoted.name}@{promoted.version} is the default model now. `mfa label` labels with it; where "
        "only its head is new, no file is opened again."
    )
    display.show_answer(promoted, sentence, as_json=as_json)


app.command("retrain")(retraining.retrain)


@app.command()
def remove(
    model: Annotated[str, typer.Argument(help="`name@version`.")],
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete one version of a model. Its files, and all that it says of any track, go with it."""
    with connect() as client:
        if not yes:
            typer.confirm(f"Delete the model {model} with its labels of all tracks?", abort=True, err=True)
        client.delete_model(model)
    display.show_answer(None, f"The model {model} is deleted.", as_json=as_json)


@app.command()
def rollback(as_json: Json = False) -> None:
    """Make the previous default model the default again. A second call goes back."""
    with connect() as client:
        model = client.roll_back()
        left = next((each for each in client.list_models() if "previous" in each.aliases), None)
    back = "" if left is None else f"; a second `mfa models rollback` goes back to {left.name}@{left.version}"
    sentence = f"{model.name}@{model.version} is the default model again{back}."
    display.show_answer(model, sentence, as_json=as_json)
