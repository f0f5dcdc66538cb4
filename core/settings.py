"""Process settings, the only reader of the environment."""

import difflib
import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT = Path(__file__).resolve().parents[1]
PREFIX = "MFA_"
SECRETS_DIR = "MFA_SECRETS_DIR"
ENV_FILE = Path(".env")
# Read by docker/compose.yml or the supervisor, and no setting of a process.
OTHER_VARIABLES = frozenset(
    (
        SECRETS_DIR,
        "MFA_STACK",
        "MFA_MUSIC",
        "MFA_BIND",
        "MFA_VERSION",
        "MFA_WORKERS",
        "MFA_TMP",
        "MFA_WORKER_MEMORY",
        "MFA_TRAIN_MEMORY",
        "MFA_TRIAL_MEMORY",
        "MFA_POSTGRES_MEMORY",
    )
)
WRONG_SETTINGS = 2  # exit code
MIN_PASSWORD = 16  # characters
PLACEHOLDER = "changeme"
SECRETS = ("database_url", "broker_url")


class Settings(BaseSettings):
    """Set any of these as `MFA_<NAME>` in the environment or in `.env`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=ENV_FILE, extra="ignore", frozen=True)

    database_url: str = Field(default="", description="Postgres with pgvector; empty: the embedded one")
    broker_url: str = Field(default="", description="Redis or Valkey; empty: the embedded one")
    data_dir: Path = Field(default=Path(".mfa"), description="uploads, models, embedded servers, logs")
    host: str = Field(default="127.0.0.1", description="address the gateway listens on")
    port: int = Field(default=8000, ge=1, le=65535, description="port the gateway listens on")
    api_key: str = Field(default="", description="key the `mfa` command sends")
    require_api_keys: bool | None = Field(
        default=None, description="ask for API keys; unset: only when the gateway is not bound to loopback"
    )
    worker_processes: int = Field(default=0, ge=0, description="batch worker processes; 0: one per core")
    trial_processes: int = Field(default=2, ge=1, description="trials of studies that run at a time")
    device: str = Field(default="auto", pattern="^(auto|cpu|cuda)$", description="where models run")
    max_upload_mb: int = Field(default=200, ge=1, description="largest request body in MB")
    max_requests_per_s: float | None = Field(
        default=None,
        ge=0,
        le=1e6,
        description="of one key or address; unset: 50 where keys are needed",
    )
    max_open_jobs: int | None = Field(
        default=None, ge=0, description="of one key; unset: 1000 where keys are needed"
    )
    max_duration_s: float = Field(default=4 * 3600, gt=0, description="longest track in seconds")
    feature_store_gb: float = Field(default=100, gt=0, description="size of all log-mel frames in GB")
    min_free_mb: int = Field(
        default=1000, ge=0, description="jobs wait while less is free in the data folder, in MB"
    )
    lease_s: float = Field(
        default=90, gt=0, description="seconds without renewal before a unit is reassigned"
    )
    failpoints_dir: Path | None = Field(default=None, description="for fault tests only: see core.failpoints")
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    log_format: str = Field(
        default="plain", pattern="^(plain|json)$", description="for people or for programs"
    )
    keep_jobs_days: int = Field(default=0, ge=0, description="ended jobs older than this go; 0: never")

    @property
    def uploads_dir(self) -> Path:
        return self.data_dir / "uploads"

    @property
    def training_dir(self) -> Path:
        """Unfinished trainings, a folder per run."""
        return self.data_dir / "training"

    @property
    def cache_dir(self) -> Path:
        """What trainings have computed from audio; may be deleted at any time."""
        return self.data_dir / "cache"

    @property
    def studies_dir(self) -> Path:
        """Pictures of studies, a folder per study."""
        return self.data_dir / "studies"

    @property
    def models_dir(self) -> Path:
        return self.data_dir / "models"


@cache
def get_settings() -> Settings:
    """Those of this process, which ends with one sentence if they cannot be used.

    A variable that begins with `MFA_` and is no setting, or a value that is not valid, ends it with
    WRONG_SETTINGS. With MFA_SECRETS_DIR, what the environment does not say comes from the files `mfa_<name>`
    in there, and a process whose database or broker has no real password ends with EX_CONFIG.
    """
    if unknown := " ".join(_unknown_variables()):
        refuse(unknown, WRONG_SETTINGS)
    folder = os.environ.get(SECRETS_DIR)
    if not folder:
        return _read_settings()
    if not os.access(folder, os.R_OK | os.X_OK):
        refuse(f"{SECRETS_DIR} is {folder}, which is no folder that this process may read.")
    try:
        settings = _read_settings(_secrets_dir=folder)
    except PermissionError as error:
        refuse(f"The secret {error.filename} may not be read by this process.")
    for name in SECRETS:
        if not has_password(getattr(settings, name)):
            refuse(
                f"{variable_of(name)} (or the file mfa_{name} in {folder}) needs a password of "
                f"{MIN_PASSWORD} characters or more, not {PLACEHOLDER!r}: `make secrets` makes one."
            )
    return settings


def variable_of(name: str) -> str:
    """`MFA_PORT` of the setting `port`."""
    return f"{PREFIX}{name.upper()}"


def _unknown_variables() -> Iterator[str]:
    """A sentence for each variable of the environment or of `.env` that looks like a setting and is none."""
    known = {variable_of(name) for name in Settings.model_fields} | OTHER_VARIABLES
    in_file = dotenv_values(ENV_FILE) if ENV_FILE.is_file() else {}
    for name in sorted(in_file.keys() | os.environ.keys()):
        variable = name.upper()
        if variable.startswith(PREFIX) and variable not in known:
            where = "" if name in os.environ else f" in {ENV_FILE.absolute()}"
            near = difflib.get_close_matches(variable, sorted(known), n=1)
            meant = f"did you mean {near[0]}?" if near else "docs/SETTINGS.md lists all."
            yield f"{name}{where} is no setting: {meant}"


def _read_settings(**sources: str) -> Settings:
    try:
        return Settings(**sources)  # type: ignore[arg-type]
    except ValidationError as error:
        wrong = "; ".join(f"{variable_of(str(each['loc'][0]))}: {each['msg']}" for each in error.errors())
        refuse(f"The settings are not valid: {wrong}.", WRONG_SETTINGS)


def has_password(url: str) -> bool:
    """Whether its password is one that nobody guesses."""
    password = urlsplit(url).password or ""
    return len(password) >= MIN_PASSWORD and PLACEHOLDER not in password.lower()


def refuse(reason: str, code: int = os.EX_CONFIG) -> NoReturn:
    sys.stderr.write(f"{reason}\n")
    raise SystemExit(code)
