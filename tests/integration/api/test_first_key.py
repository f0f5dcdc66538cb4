"""How a server that asks for keys comes by its first one."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select
from typer.testing import CliRunner

from api import bootstrap
from api.bootstrap import has_admin_key
from api.client import cli, connection, keys, local
from api.client.cli import app
from core.local import Plan, postgres
from core.settings import PROJECT, Settings
from core.store.session import SessionFactory
from core.store.tables import ApiKey
from tests.integration.api.gateway import bearer
from tests.integration.api.stand_in import worker
from tests.support.builders import make_api_key, make_model

Mfa = Callable[..., Any]
PAST = "2020-01-01T00:00:00Z"


@dataclass
class Stack:
    url: str
    database_url: str
    settings: Settings | None = None  # it was started with

    def wait(self) -> None:
        raise KeyboardInterrupt


@pytest.fixture
def stack(keyed_url: str, db: SessionFactory, open_settings: Settings, monkeypatch) -> Stack:
    """Stands in for the stack of `mfa serve` and `mfa demo`: a gateway that asks for keys."""
    stack = Stack(keyed_url, open_settings.database_url)

    @contextmanager
    def running(settings: Settings, _: Plan | None = None) -> Iterator[Stack]:
        stack.settings = settings
        yield stack

    monkeypatch.setattr(local, "local_stack", running)
    return stack


@pytest.fixture
def mfa(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mfa:
    """Runs a command with the settings of whoever has embedded servers."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, **settings: Any) -> Any:
        embedded: dict[str, Any] = {"database_url": "", "broker_url": "", "data_dir": tmp_path, "api_key": ""}
        for module in (connection, cli):
            monkeypatch.setattr(module, "get_settings", lambda: Settings(**embedded | settings))
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


def shown_key(output: str) -> str | None:
    return next((word for word in output.split() if word.startswith("mfa_")), None)


def count_keys(db: SessionFactory) -> int:
    with db() as session:
        return session.scalar(select(func.count()).select_from(ApiKey)) or 0


def test_serve_shows_the_first_key_once(mfa, stack, db):
    first = mfa("serve", host="0.0.0.0")
    assert first.exit_code == 0, first.output
    key = shown_key(first.stdout)
    assert key is not None
    assert "MFA_API_KEY" in first.stdout
    keys = httpx.get(f"{stack.url}/api/v1/keys", headers=bearer(key), trust_env=False)
    assert [row["name"] for row in keys.json()["items"]] == ["bootstrap"]
    assert shown_key(mfa("serve", host="0.0.0.0").stdout) is None
    assert count_keys(db) == 1


def test_serve_makes_no_key_where_none_is_needed(mfa, db):
    for settings in ({"host": "127.0.0.1"}, {"host": "0.0.0.0", "require_api_keys": False}):
        assert shown_key(mfa("serve", **settings).stdout) is None
    assert count_keys(db) == 0


def test_a_first_key_that_cannot_be_made_is_one_line(mfa, stack):
    stack.database_url = "postgresql://127.0.0.1:1/x"
    result = mfa("serve", host="0.0.0.0")
    assert result.exit_code == 1
    assert "The API key cannot be made. The database cannot be used" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_demo_stays_on_this_machine(mfa, stack, open_url, music, db):
    with db.begin() as session:
        make_model(session)
    (music / "a.mp3").write_bytes(b"")
    stack.url = open_url
    with worker(db):
        result = mfa("demo", music, host="0.0.0.0")
    assert result.exit_code == 0, result.output
    assert stack.settings.host == "127.0.0.1"
    assert count_keys(db) == 0


def test_a_demo_uses_the_first_key_where_keys_are_wished_for(mfa, stack, music, db):
    with db.begin() as session:
        make_model(session)
    (music / "a.mp3").write_bytes(b"")
    with worker(db):
        result = mfa("demo", music, require_api_keys=True)
    assert result.exit_code == 0, result.output
    assert shown_key(result.stdout) is not None
    again = mfa("demo", music, require_api_keys=True)  # the key was shown, and is not given
    assert again.exit_code == 1
    assert "API key" in again.stderr


@pytest.mark.parametrize(
    ("scope", "overrides", "counts"),
    [
        ("admin", {}, True),
        ("admin", {"expires_at": "2999-01-01T00:00:00Z"}, True),
        ("admin", {"expires_at": PAST}, False),
        ("admin", {"revoked_at": PAST}, False),
        ("write", {}, False),
    ],
)
def test_only_a_valid_admin_key_makes_another_unnecessary(session, scope, overrides, counts):
    make_api_key(session, scope, **overrides)
    session.expire_all()
    assert has_admin_key(session) is counts


def test_whoever_reaches_the_database_gets_a_key_however_many_there_are(
    db, open_settings, monkeypatch, capsys
):
    monkeypatch.setattr(bootstrap, "get_settings", lambda: open_settings)
    monkeypatch.setattr(sys, "argv", ["bootstrap"])
    bootstrap.main()
    bootstrap.main()
    assert len(set(capsys.readouterr().out.split())) == 2
    monkeypatch.setattr(sys, "argv", ["bootstrap", "--if-none"])
    bootstrap.main()
    assert capsys.readouterr().out == ""
    assert count_keys(db) == 2


def test_a_lost_key_is_replaced_on_the_server_and_the_old_ones_are_refused(
    stack, db, open_settings, monkeypatch
):
    with db.begin() as session:
        lost, other = (make_api_key(session, scope)[1] for scope in ("admin", "write"))
    monkeypatch.setattr(keys, "get_settings", lambda: open_settings)
    outcome = CliRunner().invoke(app, ["keys", "reset"])
    assert outcome.exit_code == 0, outcome.stderr
    (key,) = outcome.stdout.split()

    def status(secret: str) -> int:
        return httpx.get(f"{stack.url}/api/v1/models", headers=bearer(secret), trust_env=False).status_code

    assert [status(each) for each in (key, lost, other)] == [200, 401, 200]


def test_a_key_is_reset_only_where_the_database_is(tmp_path, monkeypatch):
    elsewhere = Settings(database_url="", broker_url="", data_dir=tmp_path)
    monkeypatch.setattr(keys, "get_settings", lambda: elsewhere)
    outcome = CliRunner().invoke(app, ["keys", "reset"])
    assert outcome.exit_code == 1
    assert "There is no database in" in outcome.stderr
    (tmp_path / "postgres" / "cluster").mkdir(parents=True)
    (tmp_path / "postgres" / "cluster" / "postmaster.pid").write_text("1\n/x\n1\n5432\n\n\n\nstopping\n")
    assert postgres.running_url(tmp_path / "postgres") is None


def test_bootstrap_says_how_it_is_used():
    argv = (sys.executable, "-m", "api.bootstrap", "--help")
    outcome = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True)
    assert outcome.returncode == 1
    assert "python -m api.bootstrap [--if-none | --reset]" in outcome.stderr
