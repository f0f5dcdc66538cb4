"""A folder of music, labelled by its folders or by words of its paths."""

import os
import stat
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
    """Every audio file below `root`; each folder of the second level (artist or album) is one album."""
    found = sorted(audio_files(root), key=lambda path: path.parts)
    examples = tuple(_example(root, path, labels_from, vocabulary) for path in found)
    return Dataset(root.name, examples, root=root)


def _example(
    root: Path, path: PurePosixPath, labels_from: PathLabels, vocabulary: tuple[str, ...]
) -> Example:
    # A name that is not UTF-8 can be shown, but not opened: it costs that track only.
    shown = PurePosixPath(os.fsencode(path).decode("utf-8", "backslashreplace"))
    return Example(
        id=str(shown),
        path=root / path,
        labels=labels_of_path(shown, labels_from, vocabulary),
        album="/".join(shown.parts[:2]) if len(path.parts) > 2 else None,
    )


def audio_files(root: Path) -> Iterator[PurePosixPath]:
    """Regular files that look like audio by their name, relative to `root`; no hidden entries, no links."""
    if not root.is_dir():
        raise DatasetFileMissing(f"{root} is not a folder.")
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = [name for name in subfolders if not name.startswith(".") and name != "__MACOSX"]
        relative = PurePosixPath(Path(folder).relative_to(root).as_posix())
        for name in files:
            if name.startswith(".") or PurePosixPath(name).suffix.lower() not in AUDIO_SUFFIXES:
                continue
            if _is_regular(os.path.join(folder, name)):
                yield relative / name


def _is_regular(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False
