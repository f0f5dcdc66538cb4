"""Named places around commits and messages where fault tests let a process die; otherwise without effect."""

import os
import signal

from core.settings import get_settings


def crash_point(name: str) -> None:
    """Die by SIGKILL when `MFA_CRASH_AT` is a folder with a file of this name.

    The file goes first, so that of all processes that pass exactly one dies, once.
    """
    folder = get_settings().crash_at
    if folder is None:
        return
    try:
        (folder / name).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
