"""A disk of a few megabytes that a test may fill."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A folder with a file system of its own. Skips the test where this user may not mount one."""
    folder.mkdir()
    program = shutil.which("mount") or "mount"
    argv = (program, "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0777", "tmpfs", str(folder))
    if subprocess.run(argv, capture_output=True).returncode != 0:
        pytest.skip("This user may not mount a file system.")
    try:
        yield folder
    finally:
        subprocess.run(("umount", "--lazy", str(folder)), check=True)


def fill(folder: Path) -> Path:
    """A file that takes all the space that is left."""
    file = folder / "everything"
    with file.open("wb", buffering=0) as out:
        try:
            while out.write(bytes(1 << 16)):
                pass
        except OSError:
            return file
    return file
