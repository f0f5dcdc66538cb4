"""Tracks of a library as examples of a dataset."""

from typing import Any

from core.ml.datasets.credits import credits_of
from core.ml.datasets.library import TaggedTrack


def tagged_track(path: str, tags: dict[str, Any]) -> TaggedTrack:
    """A track with the tags that training uses."""
    credits = credits_of(tags)
    return TaggedTrack(path, tuple(tags.get("genre", ())), credits.artist, credits.album)
