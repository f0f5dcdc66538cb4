"""MTG-Jamendo: tab-separated splits of its repository, one tag per further cell.

Bogdanov et al., 2019. Tracks by one artist are in one part, and every tag occurs in each part.
"""

from pathlib import Path, PurePosixPath
from typing import Literal

from core.ml.datasets.examples import Dataset, Example, Part
from core.ml.datasets.paths import inside
from core.ml.datasets.tables import malformed, rows, unique

_FILES = {
    "genre": "autotagging_genre",
    "instrument": "autotagging_instrument",
    "mood/theme": "autotagging_moodtheme",
    "top50": "autotagging_top50tags",
    "all": "autotagging",
}
_COLUMNS = ["TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS"]


def read(
    root: Path,
    category: Literal["genre", "instrument", "mood/theme", "top50", "all"] = "genre",
    split: int = 0,
    audio: str = "audio",
    low_quality: bool = False,
) -> Dataset:
    """One of the five splits; if several categories are mixed, tags keep theirs (`genre---rock`)."""
    examples: list[Example] = []
    for part in Part:
        table = root / "data" / "splits" / f"split-{split}" / f"{_FILES[category]}-{part}.tsv"
        content = rows(root, table, "\t")
        if (header := next(content, (0, []))[1]) != _COLUMNS:
            raise malformed(table, 1, f"the columns are {header}, not {_COLUMNS}")
        for line, cells in content:
            if len(cells) < len(_COLUMNS) - 1:
                raise malformed(table, line, f"{len(cells)} cells instead of at least {len(_COLUMNS) - 1}")
            track, artist, album, path, _duration, *tags = cells
            examples.append(
                Example(
                    id=track,
                    path=root / audio / _file(inside(path, table, line), low_quality),
                    labels=unique([_label(tag, category) for tag in tags]),
                    artist=artist or None,
                    album=album or None,
                    part=part,
                )
            )
    return Dataset("MTG-Jamendo", tuple(examples), root=root)


def _file(path: PurePosixPath, low_quality: bool) -> PurePosixPath:
    return path.with_suffix(".low.mp3") if low_quality else path


def _label(tag: str, category: str) -> str:
    """The tag's name, with its category as a prefix if the file has several categories; "" for other ones."""
    prefix, _, name = tag.partition("---")
    if category in ("top50", "all"):
        return tag
    return name if prefix == category else ""
