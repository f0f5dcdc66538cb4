"""A music library as a dataset: labels are the genre tags in its files, or lie in its paths."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from core.dataset_config import PathLabels
from core.datasets.examples import Dataset, Example
from core.datasets.path_labels import labels_of_path
from core.datasets.tables import unique


@dataclass(frozen=True, slots=True)
class TaggedTrack:
    """What is known of a track of a library."""

    path: str  # relative to the library, with forward slashes
    genres: tuple[str, ...] = ()  # genre tags as they stand in the file
    artist: str | None = None
    album: str | None = None


def read(
    root: Path,
    tracks: Iterable[TaggedTrack],
    labels_from: Literal["genre_tags"] | PathLabels = "genre_tags",
    vocabulary: tuple[str, ...] = (),
    separators: str = ";/|,\\",
    aliases: Mapping[str, str] | None = None,
) -> Dataset:
    """The library at `root`; spellings that differ in case only become the most frequent one."""
    ordered = sorted(tracks, key=lambda track: track.path)
    if labels_from == "genre_tags":
        labels = _fold_case([genres(track.genres, separators, aliases or {}) for track in ordered])
    else:
        labels = [labels_of_path(PurePosixPath(track.path), labels_from, vocabulary) for track in ordered]
    examples = tuple(
        Example(track.path, root / track.path, found, track.artist or None, track.album or None)
        for track, found in zip(ordered, labels, strict=True)
    )
    return Dataset(root.name, examples, root=root)


def genres(tags: Iterable[str], separators: str, aliases: Mapping[str, str]) -> tuple[str, ...]:
    """`("Rock; Pop/Rock",)` -> `("Rock", "Pop")`; a tag that has an alias as a whole is not cut."""
    names = {alias.casefold(): name for alias, name in aliases.items()}
    found: list[str] = []
    for tag in tags:
        if (whole := names.get(tag.strip().casefold())) is not None:
            found.append(whole)
            continue
        pieces = re.split(f"[{re.escape(separators)}]", tag) if separators else [tag]
        found += [names.get(piece.strip().casefold(), piece) for piece in pieces]
    return unique(found)


def _fold_case(labels: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    counts = Counter(label for found in labels for label in found)
    spelling: dict[str, str] = {}
    for label in sorted(counts, key=lambda label: (-counts[label], label)):
        spelling.setdefault(label.casefold(), label)
    return [unique([spelling[label.casefold()] for label in found]) for found in labels]
