"""The `libraries` commands."""

from pathlib import Path
from typing import Annotated

import typer

from api import schemas
from api.client import display
from api.client.connection import connect
from api.client.http import UsageError
from api.client.options import Json, Yes

app = typer.Typer(help="List the libraries; rename, move or remove one.")
Name = Annotated[str, typer.Argument(help="Name of the library.")]


@app.callback(invoke_without_command=True)
def libraries(context: typer.Context, as_json: Json = False) -> None:
    """List the libraries; rename, move or remove one."""
    if as_json and context.invoked_subcommand:
        raise UsageError(f"Write --json after `{context.invoked_subcommand}`.")
    if context.invoked_subcommand is None:
        with connect() as client:
            show_libraries(client.list_libraries(), as_json=as_json)


def show_libraries(found: list[schemas.Library], *, as_json: bool) -> None:
    if as_json:
        display.show_json(found)
    elif found:
        display.show_table(
            "",
            ("name", "folder", "tracks"),
            ((display.Name(library.name), library.path, library.tracks) for library in found),
        )
    else:
        display.note("There are no libraries yet: `mfa label FOLDER` makes one of a folder.")


@app.command()
def rename(
    name: Name,
    new_name: Annotated[str, typer.Argument(metavar="NEW", help="Its name from now on.")],
    as_json: Json = False,
) -> None:
    """Give a library another name; its tracks and labels stay."""
    with connect() as client:
        library = client.change_library(name, schemas.LibraryChange(name=new_name))
    display.show_answer(library, f"The library {name} is called {library.name} now.", as_json=as_json)


@app.command()
def move(
    name: Name,
    path: Annotated[Path, typer.Argument(help="Where its folder is now, on the server.")],
    force: Annotated[bool, typer.Option("--force", help="Also where most of its files are not.")] = False,
    as_json: Json = False,
) -> None:
    """Say where the folder of a library has moved to; nothing is analysed again."""
    change = schemas.LibraryChange(path=str(path.expanduser().absolute()), force=force)
    with connect() as client:
        library = client.change_library(name, change)
    sentence = f"The library {library.name} is the folder {library.path} now."
    display.show_answer(library, sentence, as_json=as_json)


@app.command()
def remove(name: Name, yes: Yes = False, as_json: Json = False) -> None:
    """Forget a library, its tracks and their labels; the music itself is not touched."""
    with connect() as client:
        if not yes:
            typer.confirm(f"Forget the library {name} with the labels of its tracks?", abort=True, err=True)
        client.delete_library(name)
    sentence = f"The library {name} is removed; its music is still where it was."
    display.show_answer(None, sentence, as_json=as_json)
