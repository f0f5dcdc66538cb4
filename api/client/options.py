"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from api.client.files import check_file, check_folder

Json = Annotated[bool, typer.Option("--json", help="Print the answer of the REST interface.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
OptionalLibrary = Annotated[str | None, typer.Option(help="Name of a library: only its tracks.")]
CsvFile = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", callback=check_file, help="Write a CSV file.")
]
SaveFolder = Annotated[
    Path | None,
    typer.Option(
        "--save", metavar="FOLDER", callback=check_folder, help="Write its pictures and files into a folder."
    ),
]
