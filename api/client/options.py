"""Options that several commands have, and which of them go together."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from api.client.http import UsageError
from core.output.files import check_folder

Json = Annotated[bool, typer.Option("--json", help="Print the answer of the REST interface.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
OptionalLibrary = Annotated[str | None, typer.Option(help="Name of a library: only its tracks.")]
Model = Annotated[str | None, typer.Option(help="What this model says, not the default one.")]
SaveFolder = Annotated[
    Path | None,
    typer.Option(
        "--save", metavar="FOLDER", callback=check_folder, help="Write its pictures and files into a folder."
    ),
]


def refuse_others(context: typer.Context, mode: str, belonging: Collection[str]) -> None:
    """Raise UsageError for options that were given and that this mode of a command does not heed.

    `belonging`: the names of the parameters that it heeds.
    """
    for each in context.command.params:
        source = context.get_parameter_source(each.name or "")
        if each.name not in belonging and source is not None and source.name == "COMMANDLINE":
            name = each.opts[0] if each.param_type_name == "option" else str(each.name).upper()
            raise UsageError(f"{name} does not go with {mode}.")
