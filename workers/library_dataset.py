"""Tracks of a library as examples of a dataset."""

from collections.abc import Mapping
from typing import Any

from core.ml.datasets.corrections import CorrectedTrack
from core.ml.datasets.credits import credits_of
from core.ml.datasets.library import TaggedTrack
from core.states import Verdict


def tagged_track(
    path: str, tags: dict[str, Any], verdicts: Mapping[str, Verdict] | None = None
) -> TaggedTrack:
    """A track with the tags that training uses, and with what people said of its labels."""
    credits = credits_of(tags)
    return TaggedTrack(path, tuple(tags.get("genre", ())), credits.artist, credits.album, verdicts or {})


def corrected_track(path: str, tags: dict[str, Any], verdicts: Mapping[str, Verdict]) -> CorrectedTrack:
    """A track with what people said of its labels."""
    credits = credits_of(tags)
    return CorrectedTrack(path, verdicts, credits.artist, credits.album)
