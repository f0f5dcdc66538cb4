"""The `mfa` command, run in this process with the settings of a gateway."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from api.client import cli, connection, display
from api.client.cli import app
from core.settings import Settings

Run = Callable[..., Any]  # its answer is a `Result` of Click


def runner(url: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch, **overrides: Any) -> Run:
    """Runs the command in `data_dir` against the gateway at `url`."""
    address = httpx.URL(url)
    settings = Settings(host=address.host, port=address.port, data_dir=data_dir, **overrides)
    for module in (connection, cli):
        monkeypatch.setattr(module, "get_settings", lambda: settings)
    monkeypatch.setattr(display.console, "width", 200)
    monkeypatch.chdir(data_dir)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])
