"""A folder of music, labelled by its subfolders or by words in paths."""

import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from core.config.dataset import PathLabels
from core.errors import ItemError
from core.library.left_out import as_text
from core.library.scan import LeftOut, scan
from core.ml.datasets.errors import DatasetFileMissing
from core.ml.datasets.examples import Dataset, Example
from core.ml.datasets.path_labels import labels_of_path

log = logging.getLogger(__name__)


def read(root: Path, labels_from: PathLabels = "folder", vocabulary: tuple[str, ...] = ()) -> Dataset:
    """Every audio file below `root`; each folder of the second level (artist or album) is one album."""
    found = sorted(audio_files(root), key=lambda path: path.parts)
    examples = tuple(_example(root, path, labels_from, vocabulary) for path in found)
    return Dataset(root.name, examples, root=root)


def _example(
    root: Path, path: PurePosixPath, labels_from: PathLabels, vocabulary: tuple[str, ...]
) -> Example:
    # A file whose name is not UTF-8 cannot be opened; only that track is dropped.
    shown = PurePosixPath(os.fsencode(path).decode("utf-8", "backslashreplace"))
    return Example(
        id=str(shown),
        path=root / path,
        labels=labels_of_path(shown, labels_from, vocabulary),
        album="/".join(shown.parts[:2]) if len(path.parts) > 2 else None,
    )


def audio_files(root: Path) -> Iterator[PurePosixPath]:
    """Paths of audio files below `root`, relative to it, as in the analysis of a library.

    They include entries that cannot be opened: links, folders that cannot be listed, and names that are not
    UTF-8 (with surrogate escapes). Other entries are counted in the log. Raises DatasetFileMissing.
    """
    left_out = Counter[str]()
    try:
        for entry in scan(root):
            if isinstance(entry, LeftOut):
                left_out[entry.reason] += 1
            else:
                yield PurePosixPath(entry.escaped or entry.path)
    except ItemError as error:
        raise DatasetFileMissing(f"{root} is not a folder.") from error
    if left_out:
        log.info("%s: left out: %s", root, as_text(left_out))
