"""The file of a track as it was listed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from core.errors import Disappeared
from core.library.paths import open_beneath
from core.store.tables import Track


@contextmanager
def open_listed(track: Track, root: str) -> Iterator[BinaryIO]:
    """Raises Disappeared for a file that has changed since, and what `open_beneath` raises."""
    with open_beneath(Path(root), track.path) as file:
        status = os.fstat(file.fileno())
        if (status.st_size, status.st_mtime_ns) != (track.size, track.mtime_ns):
            raise Disappeared("The file has changed since it was listed: analyse its library again.")
        yield file
