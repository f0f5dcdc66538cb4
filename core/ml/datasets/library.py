"""A music library as a dataset, labelled by genre tags or by paths."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from core.config.dataset import PathLabels
from core.library.genres import SEPARATORS, split_genres
from core.ml.datasets.examples import Dataset, Example
from core.ml.datasets.path_labels import labels_of_path


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
    separators: str = SEPARATORS,
    aliases: Mapping[str, str] | None = None,
) -> Dataset:
    """The library at `root`, with labels spelt as in its files."""
    ordered = sorted(tracks, key=lambda track: track.path)
    if labels_from == "genre_tags":
        labels = [split_genres(track.genres, separators, aliases or {}) for track in ordered]
    else:
        labels = [labels_of_path(PurePosixPath(track.path), labels_from, vocabulary) for track in ordered]
    examples = tuple(
        Example(track.path, root / track.path, found, track.artist or None, track.album or None)
        for track, found in zip(ordered, labels, strict=True)
    )
    return Dataset(root.name, examples, root=root)
