"""Settings that come from files of secrets, and what a process does without real ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.settings import PROJECT, has_password

GOOD = "0123456789abcdef"
DATABASE = f"postgresql://mfa:{GOOD}@db/mfa"
BROKER = f"redis://:{GOOD}@valkey/0"
SHOW = "from core.settings import get_settings; print(get_settings().database_url)"
SERVICES = (
    ("-m", "uvicorn", "--factory", "api.main:create_app", "--port", "0"),
    ("-m", "workers.dispatcher"),
    ("-m", "celery", "-A", "workers.app", "worker", "-Q", "batch"),
    ("-m", "alembic", "upgrade", "head"),
    ("-m", "api.bootstrap"),
    ("-m", "workers.register"),
)


def start(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("MFA_")}
    environment = ours | {"MFA_SECRETS_DIR": str(folder), "PYTHONPATH": str(PROJECT)} | variables
    argv = (sys.executable, *arguments)
    return subprocess.run(argv, capture_output=True, text=True, cwd=PROJECT, env=environment, timeout=60)


def put(folder: Path, database: str = DATABASE, broker: str = BROKER) -> Path:
    (folder / "mfa_database_url").write_text(f"{database}\n")
    (folder / "mfa_broker_url").write_text(f"{broker}\n")
    return folder


def refusal(outcome: subprocess.CompletedProcess[str]) -> str:
    """The one sentence with which a process has refused to start."""
    assert outcome.returncode == os.EX_CONFIG, outcome.stderr
    (sentence,) = outcome.stderr.splitlines()
    return sentence


def test_secrets_come_from_files_unless_the_environment_has_them(tmp_path):
    put(tmp_path)
    assert start(tmp_path, "-c", SHOW).stdout.strip() == DATABASE
    other = DATABASE.replace("@db", "@other")
    assert start(tmp_path, "-c", SHOW, MFA_DATABASE_URL=other).stdout.strip() == other


@pytest.mark.parametrize("password", ["", "changeme", "ChangeMe-ChangeMe-ChangeMe", "secret", GOOD[:-1]])
def test_a_password_that_can_be_guessed_is_none(password):
    assert has_password(BROKER)
    assert not has_password(f"redis://:{password}@valkey/0")
    assert not has_password("redis://valkey/0")


def test_missing_secrets_are_refused(tmp_path):
    put(tmp_path, broker="")
    sentence = refusal(start(tmp_path, "-c", SHOW))
    assert sentence.startswith("MFA_BROKER_URL (or the file mfa_broker_url")
    assert "make secrets" in sentence
    assert "no folder" in refusal(start(tmp_path / "nowhere", "-c", SHOW))


@pytest.mark.slow
@pytest.mark.parametrize("command", SERVICES, ids=lambda command: " ".join(command[:2]))
def test_every_service_refuses_to_start_with_a_placeholder(tmp_path, command):
    put(tmp_path, database=DATABASE.replace(GOOD, "changeme"))
    assert "MFA_DATABASE_URL" in refusal(start(tmp_path, *command))
