"""Gateways over the migrated database, and clients of them."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from api.client import display
from api.main import create_app
from core.settings import Settings
from core.store.session import SessionFactory
from tests.integration.api.command import Run, runner
from tests.integration.api.gateway import running


@pytest.fixture(scope="session")
def open_settings(database_url: str, broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Of a server on loopback, which asks for no keys."""
    return Settings(
        database_url=database_url,
        broker_url=broker_url,
        data_dir=tmp_path_factory.mktemp("data"),
        host="127.0.0.1",
        require_api_keys=None,
        max_upload_mb=2,
    )


@pytest.fixture(scope="session")
def open_url(open_settings: Settings) -> Iterator[str]:
    with running(create_app(open_settings)) as url:
        yield url


@pytest.fixture(scope="session")
def keyed_url(open_settings: Settings) -> Iterator[str]:
    """A server that asks for keys."""
    with running(create_app(open_settings.model_copy(update={"require_api_keys": True}))) as url:
        yield url


@pytest.fixture
def db(clean_database: SessionFactory) -> SessionFactory:
    """The gateway's database, empty."""
    return clean_database


@pytest.fixture
def http(open_url: str, db: SessionFactory) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=open_url, timeout=20, trust_env=False) as client:
        yield client


@pytest.fixture
def keyed_http(keyed_url: str, db: SessionFactory) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=keyed_url, timeout=20, trust_env=False) as client:
        yield client


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """A folder with a folder in it."""
    (tmp_path / "music" / "jazz").mkdir(parents=True)
    return tmp_path / "music"


@pytest.fixture
def mfa(open_url: str, db: SessionFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in an empty folder, with the settings of the open gateway."""
    return runner(open_url, tmp_path, monkeypatch)


@pytest.fixture
def terminal(mfa: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command on a terminal of 80 columns."""
    monkeypatch.setattr(display.console, "_force_terminal", True)
    monkeypatch.setattr(display.console, "width", 80)
    return mfa
