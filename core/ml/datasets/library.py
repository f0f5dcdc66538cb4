"""A music library as a dataset, labelled by genre tags or by paths."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from core.config.dataset import PathLabels
from core.ml.datasets.examples import Dataset, Example
from core.ml.datasets.path_labels import labels_of_path
from core.ml.datasets.tables import unique
from core.spelling import name_key


@dataclass(frozen=True, slots=True)
class TaggedTrack:
    """A track of a library with its tags."""

    path: str  # relative to the library, with forward slashes
    genres: tuple[str, ...] = ()  # genre tags as in the file
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
    """The library at `root`, with labels spelt as in its files."""
    ordered = sorted(tracks, key=lambda track: track.path)
    if labels_from == "genre_tags":
        labels = [genres(track.genres, separators, aliases or {}) for track in ordered]
    else:
        labels = [labels_of_path(PurePosixPath(track.path), labels_from, vocabulary) for track in ordered]
    examples = tuple(
        Example(track.path, root / track.path, found, track.artist or None, track.album or None)
        for track, found in zip(ordered, labels, strict=True)
    )
    return Dataset(root.name, examples, root=root)


def genres(tags: Iterable[str], separators: str, aliases: Mapping[str, str]) -> tuple[str, ...]:
    """`("Rock; Pop/Rock",)` -> `("Rock", "Pop")`; a whole tag that is an alias is not split."""
    names = {name_key(alias): name for alias, name in aliases.items()}
    found: list[str] = []
    for tag in tags:
        if (whole := names.get(name_key(tag))) is not None:
            found.append(whole)
            continue
        pieces = re.split(f"[{re.escape(separators)}]", tag) if separators else [tag]
        found += [names.get(name_key(piece), piece) for piece in pieces]
    return unique(found)
