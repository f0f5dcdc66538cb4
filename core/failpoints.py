"""Failpoints: named places around commits and messages where fault tests kill a process; else no effect."""

import os
import signal

from core.settings import get_settings


def failpoint(name: str) -> None:
    """Die by SIGKILL when `MFA_FAILPOINTS_DIR` is a folder with a file of this name.

    The file goes first, so that of all processes that pass exactly one dies, once.
    """
    folder = get_settings().failpoints_dir
    if folder is None:
        return
    try:
        (folder / name).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
