"""What a server knows of a library beside its files, for the description of a dataset on another machine."""

from typing import Any

from pydantic import Field

from core.config.base import Config
from core.states import Verdict


class KnownTrack(Config):
    """A track of whose labels people said something."""

    path: str  # relative to the library, with forward slashes
    tags: dict[str, Any]
    verdicts: dict[str, Verdict]  # by label


class KnownLibrary(Config):
    tracks: tuple[KnownTrack, ...]
    facets: dict[str, str] = Field(default={})  # key of the facet, by the key of the label
    labels: tuple[str, ...] = ()  # of the label set that the dataset names
    exclusive: tuple[tuple[str, ...], ...] = ()
