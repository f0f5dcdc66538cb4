"""Processes of a stack as a test sees them: any of them may end while one looks."""

from contextlib import suppress

import psutil

POOL_CHILD = "workers.app"  # in the command line of what Celery's pool forks, as in that of its parent
DECODER = "sandbox.helper"


def children_of(process: psutil.Process, word: str) -> list[psutil.Process]:
    """The running children of a process that have this in their command line."""
    found = []
    with suppress(psutil.NoSuchProcess):
        for child in process.children():
            with suppress(psutil.Error):
                if word in " ".join(child.cmdline()):
                    found.append(child)
    return found
