"""Tracks of a library as examples to learn from."""

from typing import Any

from core.ml.datasets.credits import credits_of
from core.ml.datasets.library import TaggedTrack


def tagged_track(path: str, tags: dict[str, Any]) -> TaggedTrack:
    """What the tags of a file say that matters for learning."""
    credits = credits_of(tags)
    return TaggedTrack(path, tuple(tags.get("genre", ())), credits.artist, credits.album)
