"""Tracks of a library as examples to learn from."""

from typing import Any

from core.datasets.library import TaggedTrack


def tagged_track(path: str, tags: dict[str, Any]) -> TaggedTrack:
    """What the tags of a file say that matters for learning."""
    artist = tags.get("artist") or tags.get("albumartist")
    return TaggedTrack(path, tuple(tags.get("genre", ())), artist, tags.get("album"))
