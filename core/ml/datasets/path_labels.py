"""Labels from a track's path: its first folder, or words of a given vocabulary."""

import re
import unicodedata
from pathlib import PurePosixPath

from core.config.dataset import PathLabels

_NON_WORD = re.compile(r"[\W_]+")


def labels_of_path(
    path: PurePosixPath, labels_from: PathLabels, vocabulary: tuple[str, ...]
) -> tuple[str, ...]:
    """Labels of a track by its path relative to the dataset; none for a track outside any folder."""
    if labels_from == "words":
        words = _as_words(str(path.with_suffix("")))
        return tuple(label for label in dict.fromkeys(vocabulary) if _as_words(label) in words)
    return path.parts[:1] if len(path.parts) > 1 else ()


def _as_words(text: str) -> str:
    """`happy/happy_acoustic` -> ` happy happy acoustic `, so that only whole words match."""
    folded = unicodedata.normalize(
        "NFKC", text
    ).casefold()  # composed, because combining accents would split words
    return f" {' '.join(_NON_WORD.split(folded)).strip()} "
