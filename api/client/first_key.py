"""The first API key of a stack of this machine, whose database only the stack itself knows how to reach."""

import os
import subprocess
import sys

from api.client import display
from api.client.http import ClientError
from api.security.access import needs_api_keys
from core.local import Stack
from core.local.command import environment_of
from core.settings import PROJECT, Settings


def first_key(settings: Settings, stack: Stack) -> str | None:
    """Make and show a key with the scope `admin`, if the stack asks for keys and has no such key yet.

    In a process of its own: the commands do not load the database's packages.
    """
    if not needs_api_keys(settings):
        return None
    reached = settings.model_copy(update={"database_url": stack.database_url})
    done = subprocess.run(
        (sys.executable, "-m", "api.bootstrap", "--if-none"),
        cwd=PROJECT,
        env=os.environ | environment_of(reached),  # passed on, not read
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise ClientError(f"The first API key cannot be made. {done.stderr.strip()}")
    key = done.stdout.strip()
    if not key:
        return None
    display.say(f"API key        {key}", "bold")
    display.say("This first key may do everything and is shown only now: keep it, and set it as MFA_API_KEY.")
    return key
