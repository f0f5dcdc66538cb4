"""Our own format: a CSV file `path,genres[,artist,album,split,duration]`, paths relative to it."""

from pathlib import Path

from core.datasets.examples import Dataset, Example, Part
from core.datasets.paths import inside
from core.datasets.tables import malformed, records, unique

SEPARATOR = ";"
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
    """The tracks that `root/file` lists; a path that leaves the manifest's folder is refused."""
    manifest = root / file
    examples: list[Example] = []
    seen: dict[str, int] = {}
    for line, row in records(root, manifest, required=("path", "genres")):
        path = inside(row["path"], manifest, line)
        if (first := seen.setdefault(str(path), line)) != line:
            raise malformed(manifest, line, f"{path} is listed already on line {first}")
        split = row.get("split", "").lower()
        if split not in _PARTS:
            raise malformed(manifest, line, f"{split!r} is no part of a split: train, validation or test")
        examples.append(
            Example(
                id=str(path),
                path=manifest.parent / path,
                labels=unique(row["genres"].split(SEPARATOR)),
                artist=row.get("artist") or None,
                album=row.get("album") or None,
                part=_PARTS[split],
            )
        )
    return Dataset(root.name, tuple(examples), root=root)
