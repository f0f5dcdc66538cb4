"""The `mfa` command."""

from pathlib import Path
from typing import Annotated

import typer

from api.client import (
    changes,
    correct,
    datasets,
    display,
    duplicates,
    jobs,
    keys,
    label,
    libraries,
    local,
    maps,
    models,
    queries,
    review,
    runs,
    similar,
    studies,
    tracks,
    train,
    tune,
)
from api.client.connection import connect
from api.client.http import ClientError
from api.client.signed_words import SignedWords
from core import VERSION
from core.output.command_group import Commands
from core.settings import get_settings

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
app.add_typer(queries.app, name="queries")
app.command("map")(maps.draw)
app.add_typer(libraries.app, name="libraries")
app.add_typer(models.app, name="models")
app.command("runs")(runs.runs)
app.command("studies")(studies.studies)
app.add_typer(keys.app, name="keys")
app.command("datasets", **datasets.AS_IT_IS)(datasets.run)
app.command("correct", cls=SignedWords, context_settings=SignedWords.SETTINGS)(correct.correct)
app.command("changes")(changes.changes)
app.command("review")(review.review)
app.command("train")(train.train)
app.command("tune")(tune.tune)


@app.command()
def serve(
    reload: Annotated[
        bool, typer.Option("--reload", help="Restart the gateway when its code changes, for development.")
    ] = False,
) -> None:
    """Run the whole stack on this machine until Ctrl-C."""
    local.serve(get_settings(), reload=reload)


@app.command()
def demo(
    music: Annotated[
        Path | None, typer.Argument(help="A folder of music; by default the sample library.")
    ] = None,
) -> None:
    """Label a folder with a stack that is stopped afterwards."""
    local.demo(get_settings(), music)


if __name__ == "__main__":
    app(prog_name="mfa")
