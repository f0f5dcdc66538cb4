"""A table `path,genres[,artist,album,split,duration]`, with paths relative to it.

Its delimiter (comma, semicolon or tab) is detected from the first line.
"""

import os
from pathlib import Path, PurePosixPath

from core.ml.datasets.examples import Dataset, Example, Part
from core.ml.datasets.listed_paths import ListedPaths
from core.ml.datasets.tables import delimiter_of, malformed, records, unique

SEPARATOR = ";"  # between genres
_DELIMITERS = ",;\t"
_REQUIRED = ("path", "genres")
_PARTS = {
    "": None,
    "train": Part.TRAIN,
    "training": Part.TRAIN,
    "valid": Part.VALIDATION,
    "val": Part.VALIDATION,
    "validation": Part.VALIDATION,
    "test": Part.TEST,
}


def read(root: Path, file: str = "manifest.csv") -> Dataset:
    """The tracks listed in `root/file`. Raises DatasetMalformed, also for paths outside the dataset.

    Missing files are examples too; opening them reports the error.
    """
    manifest = root / file
    delimiter = delimiter_of(root, manifest, _REQUIRED, _DELIMITERS)
    paths = ListedPaths(
        root,
        manifest.parent,
        lambda: (row["path"] for _, row in records(root, manifest, _REQUIRED, delimiter)),
    )
    examples: list[Example] = []
    seen: dict[str, int] = {}
    for line, row in records(root, manifest, _REQUIRED, delimiter):
        path = paths.resolve(row["path"])
        if path is None:
            raise malformed(manifest, line, f"{row['path']!r} is not a path below the dataset's folder")
        name = PurePosixPath(os.path.relpath(path, manifest.parent))
        if (first := seen.setdefault(str(name), line)) != line:
            raise malformed(manifest, line, f"{name} is listed already on line {first}")
        split = row.get("split", "").lower()
        if split not in _PARTS:
            raise malformed(manifest, line, f"{split!r} is not a part of a split: train, validation or test")
        examples.append(
            Example(
                id=str(name),
                path=path,
                labels=unique(row["genres"].split(SEPARATOR)),
                artist=row.get("artist") or None,
                album=row.get("album") or None,
                part=_PARTS[split],
            )
        )
    return Dataset(root.name, tuple(examples), root=root)
