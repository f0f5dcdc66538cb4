"""Access to the files of a dataset, which must be below its root."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from core.errors import Disappeared, Invalid, ItemError, OutsideLibrary, Unreadable
from core.library.paths import open_beneath, status_beneath
from core.ml.datasets.errors import DatasetFileMissing, DatasetMalformed


def inside(path: str, table: Path, line: int | None = None) -> PurePosixPath:
    """A path listed in `table`. Raises DatasetMalformed for a path outside the dataset's folder."""
    relative = PurePosixPath(path)
    if not relative.parts or relative.is_absolute() or ".." in relative.parts:
        place = f"{table}, line {line}" if line else str(table)
        raise DatasetMalformed(f"{place}: {path!r} is not a path below the dataset's folder.")
    return relative


def open_audio(path: Path, root: Path | None) -> BinaryIO:
    """Open a regular file below `root` (or in its own folder) without following links. Raises ItemError."""
    with _named_below(path, root) as (top, relative):
        return open_beneath(top, relative)


def status_of_audio(path: Path, root: Path | None) -> os.stat_result:
    """Status of the file that `open_audio` would open. Raises ItemError."""
    with _named_below(path, root) as (top, relative):
        return status_beneath(top, relative)


def open_description(path: Path, root: Path) -> BinaryIO:
    """Open a file that describes the dataset. Raises DatasetFileMissing or DatasetMalformed."""
    try:
        return open_audio(path, root)
    except Disappeared as error:
        raise DatasetFileMissing(f"{path} is missing.") from error
    except ItemError as error:
        raise DatasetMalformed(f"{path} cannot be read: {error.detail}") from error


@contextmanager
def _named_below(path: Path, root: Path | None) -> Iterator[tuple[Path, str]]:
    """The root, and the path relative to it."""
    top = root or path.parent
    if not path.is_relative_to(top):
        raise OutsideLibrary("The path leaves the dataset's folder.")
    try:
        yield top, path.relative_to(top).as_posix()
    except Invalid as error:
        raise Unreadable("The name is not valid UTF-8; rename it.") from error
