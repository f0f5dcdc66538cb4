"""Free Music Archive (Defferrard et al., 2017): `fma_metadata/tracks.csv` and its genre hierarchy."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from core.ml.datasets.examples import Dataset, Example, Part
from core.ml.datasets.fma_genres import Genres, read_genres
from core.ml.datasets.tables import malformed, rows, unique

SIZES = ("small", "medium", "large")  # each contains the one before it
_PARTS = {"training": Part.TRAIN, "validation": Part.VALIDATION, "test": Part.TEST}
_UNKNOWN = ("", "-1")  # the id of unknown albums
_LIST = re.compile(r"(\[[\d, ]*\])?")  # Python syntax: [76, 103]
_COLUMNS = {
    "size": ("set", "subset"),
    "split": ("set", "split"),
    "artist": ("artist", "id"),
    "album": ("album", "id"),
    "genre_top": ("track", "genre_top"),
    "genres": ("track", "genres"),
    "genres_all": ("track", "genres_all"),
}


def read(
    root: Path,
    size: Literal["small", "medium", "large"] = "small",
    labels: Literal["genre_top", "genres", "genres_all"] = "genre_top",
) -> Dataset:
    """The tracks of a size with the official split.

    With `genres_all`, tracks also have the ancestors of their genres, and the dataset has the hierarchy.
    """
    table = root / "fma_metadata" / "tracks.csv"
    genres = read_genres(root, root / "fma_metadata" / "genres.csv")
    sizes = SIZES[: SIZES.index(size) + 1]
    examples: list[Example] = []
    for line, track, row in _tracks(root, table):
        if row["size"] not in sizes:
            continue
        if row["split"] not in _PARTS:
            raise malformed(table, line, f"{row['split']!r} is not a part of the split")
        number = f"{int(track):06d}"
        examples.append(
            Example(
                id=track,
                path=root / f"fma_{size}" / number[:3] / f"{number}.mp3",
                labels=_labels(row[labels], labels, genres, table, line),
                artist=_known(row["artist"]),
                album=_known(row["album"]),
                part=_PARTS[row["split"]],
            )
        )
    parents = genres.parents if labels == "genres_all" else {}
    return Dataset(f"FMA {size}", tuple(examples), parents, root)


def _tracks(root: Path, table: Path) -> Iterator[tuple[int, str, dict[str, str]]]:
    """Line, id and the needed cells of each track."""
    content = rows(root, table)
    headers = [row for _, (_, row) in zip(range(3), content, strict=False)]
    if len(headers) < 3 or headers[2][:1] != ["track_id"]:
        raise malformed(table, 3, "the three lines of column names are missing")
    names = list(zip(headers[0], headers[1], strict=False))
    if missing := [name for name in _COLUMNS.values() if name not in names]:
        raise malformed(table, 2, f"the column {missing[0]} is missing")
    places = {name: names.index(column) for name, column in _COLUMNS.items()}
    for line, row in content:
        if len(row) != len(names) or not row[0].isdecimal():
            raise malformed(table, line, f"this is not a track with {len(names)} cells")
        yield line, row[0], {name: row[place].strip() for name, place in places.items()}


def _labels(cell: str, column: str, genres: Genres, table: Path, line: int) -> tuple[str, ...]:
    if column == "genre_top":
        return unique([cell])
    numbers = [int(number) for number in re.findall(r"\d+", cell)]
    if not _LIST.fullmatch(cell) or not genres.titles.keys() >= set(numbers):
        raise malformed(table, line, f"{cell[:80]!r} is not a list of known genres")
    return unique([genres.titles[number] for number in numbers])


def _known(identifier: str) -> str | None:
    return None if identifier in _UNKNOWN else identifier
