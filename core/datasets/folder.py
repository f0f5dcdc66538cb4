"""A folder of music, labelled by its folders or by words of its paths."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from core.dataset_config import PathLabels
from core.datasets.errors import DatasetFileMissing
from core.datasets.examples import Dataset, Example
from core.datasets.path_labels import labels_of_path

AUDIO_SUFFIXES = frozenset(
    [
        *(".mp3", ".flac", ".wav", ".wave", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".aifc", ".au"),
        *(".m4a", ".m4b", ".mp4", ".aac", ".wma"),
    ]
)


def read(root: Path, labels_from: PathLabels = "folder", vocabulary: tuple[str, ...] = ()) -> Dataset:
    """Every audio file below `root`; folders below the first level count as albums."""
    found = sorted(audio_files(root), key=lambda path: path.parts)
    examples = tuple(
        Example(
            id=str(path),
            path=root / path,
            labels=labels_of_path(path, labels_from, vocabulary),
            album=str(path.parent) if len(path.parts) > 2 else None,
        )
        for path in found
    )
    return Dataset(root.name, examples)


def audio_files(root: Path) -> Iterator[PurePosixPath]:
    """What looks like audio by its name, relative to `root`; no hidden entries, no linked folders."""
    if not root.is_dir():
        raise DatasetFileMissing(f"{root} is not a folder.")
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = [name for name in subfolders if not name.startswith(".") and name != "__MACOSX"]
        relative = PurePosixPath(Path(folder).relative_to(root).as_posix())
        for name in files:
            if not name.startswith(".") and PurePosixPath(name).suffix.lower() in AUDIO_SUFFIXES:
                yield relative / name
