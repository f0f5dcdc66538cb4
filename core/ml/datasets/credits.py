"""Who made a track by the tags in its file, for datasets that do not tell."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from core.ml.audio.sandbox import read_tags
from core.ml.datasets.examples import Example
from core.ml.datasets.groups import known_name


@dataclass(frozen=True)
class Credits:
    artist: str | None = None
    album: str | None = None


def read_credits(file: BinaryIO) -> tuple[Credits, str | None]:
    """Those of an audio file, and why some or all of its tags cannot be read, if so."""
    reading = read_tags(file)
    return credits_of(reading.tags), reading.error


def credits_of(tags: Mapping[str, Any]) -> Credits:
    return Credits(tags.get("artist") or tags.get("albumartist"), tags.get("album"))


def credited(example: Example, credits: Credits) -> Example:
    """The example with what its dataset does not say; albums of one name in two folders are two albums.

    Where the dataset knows albums, those are kept: tags might cut them into smaller ones.
    """
    album = example.album
    if album is None and known_name(credits.album):
        album = f"{PurePosixPath(example.id).parent}/{credits.album}"
    return replace(example, artist=example.artist or credits.artist, album=album)
