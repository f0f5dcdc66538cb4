"""Swap a file or folder for a link and back, as fast as it goes, while something else looks at it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SWAP = """
import os, sys
place, link, aside = sys.argv[1:]
print(flush=True)
while True:
    os.rename(place, aside)
    os.rename(link, place)
    os.rename(place, link)
    os.rename(aside, place)
"""


@contextmanager
def swapping(place: Path, link: Path) -> Iterator[None]:
    """`link` and `place` change places all the time, as long as the block lasts."""
    argv = [sys.executable, "-c", _SWAP, str(place), str(link), f"{link}.aside"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as swapper:
        assert swapper.stdout is not None
        swapper.stdout.readline()
        try:
            yield
        finally:
            swapper.kill()
