"""The genre hierarchy of the Free Music Archive, `genres.csv`."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.ml.datasets.tables import malformed, records
from core.spelling import name_key

_NO_PARENT = 0


@dataclass(frozen=True)
class Genres:
    titles: Mapping[int, str]  # genre id -> title, with the id appended if two have the same title
    parents: Mapping[str, str]  # title -> title of the parent; without the roots


def read_genres(root: Path, path: Path) -> Genres:
    """Read `genre_id,#tracks,parent,title,top_level`, where parent 0 marks a root."""
    found: dict[int, tuple[int, str]] = {}
    for line, row in records(root, path, required=("genre_id", "parent", "title")):
        try:
            found[int(row["genre_id"])] = (int(row["parent"]), row["title"])
        except ValueError as error:
            raise malformed(path, line, "an id is not a number") from error
    counts = Counter(name_key(title) for _, title in found.values())
    titles = {
        number: title if counts[name_key(title)] == 1 or parent == _NO_PARENT else f"{title} ({number})"
        for number, (parent, title) in found.items()
    }
    parents = {titles[number]: titles[parent] for number, (parent, _) in found.items() if parent in found}
    return Genres(titles, parents)
