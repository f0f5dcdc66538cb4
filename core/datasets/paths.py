"""Paths as lists of tracks name them."""

from pathlib import Path, PurePosixPath

from core.datasets.errors import DatasetMalformed


def inside(path: str, table: Path, line: int | None = None) -> PurePosixPath:
    """A path that `table` lists; one that leads out of the dataset's folder is refused."""
    relative = PurePosixPath(path)
    if not relative.parts or relative.is_absolute() or ".." in relative.parts:
        place = f"{table}, line {line}" if line else str(table)
        raise DatasetMalformed(f"{place}: {path!r} is no path below the dataset's folder.")
    return relative
