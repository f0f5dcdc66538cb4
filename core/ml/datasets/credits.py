"""Artist and album by the tags of a file, for datasets that do not state them."""

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
    """The credits of an audio file, and an error if some of its tags cannot be read."""
    reading = read_tags(file)
    return credits_of(reading.tags), reading.error


def credits_of(tags: Mapping[str, Any]) -> Credits:
    return Credits(tags.get("artist") or tags.get("albumartist"), tags.get("album"))


def credited(example: Example, credits: Credits) -> Example:
    """The example completed with credits from tags. Albums of equal name in two folders are distinct.

    Albums stated by the dataset are kept, as tags may divide them.
    """
    album = example.album
    if album is None and known_name(credits.album):
        album = f"{PurePosixPath(example.id).parent}/{credits.album}"
    return replace(example, artist=example.artist or credits.artist, album=album)
