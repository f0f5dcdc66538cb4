"""Groups of related tracks, which must not be in different parts of a split."""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from core.ml.datasets.examples import Example
from core.spelling import name_key

# Placeholders for an unknown name, by which tracks must not be grouped.
_PLACEHOLDERS = frozenset(
    {
        "",
        "various artists",
        "various",
        "va",
        "v.a.",
        "unknown artist",
        "unknown",
        "unknown album",
        "[unknown]",
    }
)
_FOLDERS_PER_LABEL = 3


@dataclass(frozen=True)
class Groups:
    of: tuple[int, ...]  # group of each example
    grouped_by: Mapping[str, int]  # number of tracks grouped by artist, album, folder or not at all ("track")

    @property
    def count(self) -> int:
        return len(set(self.of))


def same_origin(examples: Sequence[Example], hashes: Mapping[str, bytes] | None = None) -> Groups:
    """Groups by artist (if unknown, by album or folder) and by equal id, path or content.

    `hashes`: the known content hashes by example id.
    """
    by_folder = _folders_tell_albums_apart([example for example in examples if not _origins(example)])
    keys, kinds = [], dict.fromkeys(("artist", "album", "folder", "track"), 0)
    for example in examples:
        origins = _origins(example)
        if not origins and by_folder:
            origins = [("folder", str(_folder(example)))]
        kinds[origins[0][0] if origins else "track"] += 1
        keys.append([*_identity(example, hashes), *origins])
    return Groups(_join(keys), kinds)


def same_artist(examples: Sequence[Example], hashes: Mapping[str, bytes] | None = None) -> Groups:
    """Groups by known artist and by equal id, path or content only."""
    keys, known = [], 0
    for example in examples:
        artists = known_artists(example.artist)
        known += bool(artists)
        keys.append([*_identity(example, hashes), *(("artist", artist) for artist in artists)])
    return Groups(_join(keys), {"artist": known, "track": len(examples) - known})


def _identity(example: Example, hashes: Mapping[str, bytes] | None) -> list[Hashable]:
    content = (hashes or {}).get(example.id)
    return [("id", example.id), ("path", str(example.path)), *([("content", content)] if content else [])]


def _origins(example: Example) -> list[tuple[str, str]]:
    if artists := known_artists(example.artist):
        return [("artist", artist) for artist in artists]
    if album := known_name(example.album):
        return [("album", album)]
    return []


def known_artists(text: str | None) -> list[str]:
    """The artists of a track, as names are compared; several stand with "; " between them."""
    return [artist for name in (text or "").split(";") if (artist := known_name(name))]


def known_name(text: str | None) -> str | None:
    """The normalised name, equal for all its spellings; None for a placeholder."""
    name = name_key(text or "")
    return None if name in _PLACEHOLDERS else name


def _folder(example: Example) -> PurePath:
    return example.path.parent


def _folders_tell_albums_apart(examples: Sequence[Example]) -> bool:
    """Whether folders are albums, not genres: most labels occur in at least `_FOLDERS_PER_LABEL` folders."""
    folders: dict[str, set[PurePath]] = defaultdict(set)
    for example in examples:
        for label in example.labels:
            folders[label].add(_folder(example))
    spread = sum(len(found) >= _FOLDERS_PER_LABEL for found in folders.values())
    return spread > len(folders) / 2


def _join(keys: Sequence[Sequence[Hashable]]) -> tuple[int, ...]:
    """Group of each item: the connected components of items that share a key (union-find)."""
    parent = list(range(len(keys)))

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    first: dict[Hashable, int] = {}
    for item, of_item in enumerate(keys):
        for key in of_item:
            one, other = root(first.setdefault(key, item)), root(item)
            parent[max(one, other)] = min(one, other)
    numbers: dict[int, int] = {}
    return tuple(numbers.setdefault(root(item), len(numbers)) for item in range(len(keys)))
