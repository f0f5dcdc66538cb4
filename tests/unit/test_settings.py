"""Settings that are mistyped or not valid: no process starts with them, and one sentence says which."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.client import connection
from api.client.cli import app
from core.settings import OTHER_VARIABLES, SECRETS_DIR, Settings, get_settings, variable_of

Refusal = Callable[[], str]


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {variable_of(field) for field in Settings.model_fields} | OTHER_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Refusal:
    """The one line with which reading the settings ends the process."""

    def read() -> str:
        with pytest.raises(SystemExit) as ended:
            get_settings.__wrapped__()
        assert ended.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    return read


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MFA_MAX_UPLOD_MB", "did you mean MFA_MAX_UPLOAD_MB?"),
        ("MFA_DATADIR", "did you mean MFA_DATA_DIR?"),
        ("mfa_prot", "did you mean MFA_PORT?"),
        ("MFA_MUSICS", "did you mean MFA_MUSIC?"),
        ("MFA_QQQQQQQQ", "docs/SETTINGS.md lists all."),
    ],
)
def test_a_mistyped_variable_is_refused_with_the_nearest_name(name, meant, refusal, monkeypatch):
    monkeypatch.setenv(name, "1")
    assert refusal() == f"{name} is no setting: {meant}"


def test_a_mistyped_line_of_the_file_is_refused(refusal, tmp_path):
    (tmp_path / ".env").write_text("# MFA_OLD=1\nMFA_PORT=8001\nexport MFA_PRT=8002\nOTHER=3\n")
    assert refusal() == f"MFA_PRT in {tmp_path / '.env'} is no setting: did you mean MFA_PORT?"


def test_a_value_that_is_not_valid_is_refused(refusal, monkeypatch):
    monkeypatch.setenv("MFA_PORT", "80000")
    assert refusal().startswith("The settings are not valid: MFA_PORT: ")


def test_what_compose_and_the_supervisor_set_is_accepted(monkeypatch, tmp_path):
    for name in OTHER_VARIABLES - {SECRETS_DIR}:
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("mfa_port", "8003")
    (tmp_path / ".env").write_text("MFA_LEASE_S=12\n")
    settings = get_settings.__wrapped__()
    assert (settings.port, settings.lease_s) == (8003, 12)


def test_the_command_ends_before_it_asks_the_server(monkeypatch):
    monkeypatch.setenv("MFA_PROT", "8001")
    monkeypatch.setattr(connection, "get_settings", get_settings.__wrapped__)
    outcome = CliRunner().invoke(app, ["jobs"])
    assert (outcome.exit_code, outcome.stderr) == (2, "MFA_PROT is no setting: did you mean MFA_PORT?\n")
