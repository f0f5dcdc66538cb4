"""The first API key of a stack of this machine, whose database only the stack itself knows how to reach."""

import os
import subprocess
import sys

from api.client import display
from api.client.http import ClientError
from api.security.access import needs_api_keys
from core.local import SERVERS_ONLY, Stack, local_stack, postgres
from core.local.command import environment_of
from core.settings import PROJECT, Settings


def first_key(settings: Settings, stack: Stack) -> str | None:
    """Make and show a key with the scope `admin`, if the stack asks for keys and has no such key yet."""
    if not needs_api_keys(settings):
        return None
    key = bootstrap(settings, stack.database_url, "--if-none")
    if not key:
        return None
    display.say(f"API key        {key}", "bold")
    display.say("This first key may do everything and is shown only now: keep it, and set it as MFA_API_KEY.")
    return key


def reset_key(settings: Settings) -> str:
    """A new key with the scope `admin` in place of all others, for who may read the server's data folder."""
    root = settings.data_dir.expanduser().resolve() / "postgres"
    database_url = settings.database_url or postgres.running_url(root)
    if database_url:
        return bootstrap(settings, database_url, "--reset")
    if not (root / "cluster").exists():
        raise ClientError(
            f"There is no database in {root.parent}: run this on the server, with its MFA_DATA_DIR or "
            "MFA_DATABASE_URL."
        )
    with local_stack(settings, SERVERS_ONLY) as stack:
        return bootstrap(settings, stack.database_url, "--reset")


def bootstrap(settings: Settings, database_url: str, option: str) -> str:
    """What `python -m api.bootstrap` prints, in a process of its own: commands do not load the database's
    packages.
    """
    reached = settings.model_copy(update={"database_url": database_url})
    done = subprocess.run(
        (sys.executable, "-m", "api.bootstrap", option),
        cwd=PROJECT,
        env=os.environ | environment_of(reached),  # passed on, not read
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise ClientError(f"The API key cannot be made. {done.stderr.strip()}")
    return done.stdout.strip()
