"""The `datasets` commands open audio: they run in a process of their own that has the workers' packages."""

import subprocess
import sys
from typing import Any

import typer

AS_IT_IS: dict[str, Any] = {
    "context_settings": {"ignore_unknown_options": True, "allow_extra_args": True},
    "add_help_option": False,
}


def run(context: typer.Context) -> None:
    """Describe or download a dataset; see `mfa datasets -h`."""
    command = (sys.executable, "-m", "workers.datasets", *context.args)
    raise typer.Exit(subprocess.run(command, check=False).returncode)
