"""The `datasets` commands open audio: they run in a process of their own that has the workers' packages."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from api.client.connection import connect
from api.client.http import ClientError
from core.config.dataset import LibraryDataset
from core.config.experiment import load_experiment
from core.errors import InvalidConfig

AS_IT_IS: dict[str, Any] = {
    "context_settings": {"ignore_unknown_options": True, "allow_extra_args": True},
    "add_help_option": False,
}


def run(context: typer.Context) -> None:
    """Describe or download a dataset; see `mfa datasets -h`."""
    arguments = [*context.args, *folder_of_library(context.args)]
    command = (sys.executable, "-m", "workers.datasets", *arguments)
    raise typer.Exit(subprocess.run(command, check=False).returncode)


def folder_of_library(arguments: Sequence[str]) -> tuple[str, ...]:
    """`--root FOLDER`, as the server knows it, for a configuration that names a library without it."""
    options = [part for argument in arguments[1:] for part in argument.split("=", 1)]
    if arguments[:1] != ["describe"] or "--root" in options or "--config" not in options[:-1]:
        return ()
    try:
        dataset = load_experiment(Path(options[options.index("--config") + 1])).dataset
    except (InvalidConfig, OSError):
        return ()  # the process says what is wrong
    if not isinstance(dataset, LibraryDataset):
        return ()
    with connect() as client:
        folders = {library.name: library.path for library in client.list_libraries()}
    folder = folders.get(dataset.library)
    if folder is None:
        known = ", ".join(sorted(folders)) or "none"
        raise ClientError(f"The server has no library {dataset.library!r}; known are: {known}.")
    if not Path(folder).is_dir():
        raise ClientError(
            f"The library {dataset.library!r} is {folder} on the server, which is no folder here: add --root."
        )
    return "--root", folder
