"""The `models` commands."""

from typing import Annotated

import typer

from api.client import display, retraining
from api.client import preview as previews
from api.client.connection import connect
from api.client.http import Client, ClientError
from core.config.params import PreviewParams

app = typer.Typer(help="List the models, preview, compare and choose the default one, delete one.")


@app.callback(invoke_without_command=True)
def models(context: typer.Context) -> None:
    """List the models, and choose the one that jobs use by default."""
    if context.invoked_subcommand is None:
        with connect() as client:
            show_models(client)
            retraining.show_all(client)


def show_models(client: Client) -> None:
    display.show_table(
        "",
        ("model", "also called", "kind", "labels", "metrics"),
        (
            (
                f"{model.name}@{model.version}",
                ", ".join(model.aliases),
                model.kind,
                str(len(model.labels)),
                ", ".join(f"{name} {display.number_of(value)}" for name, value in model.metrics.items()),
            )
            for model in client.list_models()
        ),
    )


@app.command()
def preview(
    model: Annotated[str, typer.Argument(help="`name`, which means its newest version, or `name@version`.")],
    against: Annotated[str, typer.Option(help="The model to compare it with.")] = "default",
    library: Annotated[str | None, typer.Option(help="Look at this library only.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")] = False,
) -> None:
    """Show what would change if a model were the default one; nothing is changed, no file is opened."""
    with connect() as client:
        params = PreviewParams(model=model, against=against, library=library)
        previews.preview(client, params, as_json=as_json)


@app.command()
def compare(
    models: Annotated[list[str], typer.Argument(help="Two or more: `name` or `name@version`.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")] = False,
) -> None:
    """Show models side by side: labels, thresholds, measures, and whether these can be compared."""
    with connect() as client:
        previews.compare(client, models, as_json=as_json)


@app.command()
def promote(
    model: Annotated[str, typer.Argument(help="`name`, which means its newest version, or `name@version`.")],
) -> None:
    """Make a model the default one; `mfa models rollback` takes it back."""
    name, _, version = model.partition("@")
    if version and not version.isdecimal():
        raise ClientError(f"{model} names no model: write `name` or `name@version`.")
    with connect() as client:
        promoted = client.promote_model(name, int(version) if version else None)
    display.say(f"{promoted.name}@{promoted.version} is the default model now.")
    display.say("`mfa label` labels with it; where only its head is new, no file is opened again.")


app.command("retrain")(retraining.retrain)


@app.command()
def remove(
    model: Annotated[str, typer.Argument(help="`name@version`.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete one version of a model with its files and all that it says of any track."""
    with connect() as client:
        if not yes:
            typer.confirm(f"Delete the model {model} with its labels of all tracks?", abort=True)
        client.delete_model(model)
    display.say(f"The model {model} is deleted.")


@app.command()
def rollback() -> None:
    """Make the model the default again that was it before."""
    with connect() as client:
        model = client.roll_back()
    display.say(f"{model.name}@{model.version} is the default model again.")
