"""Groups of tracks that probably hold the same recording."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from api.schemas.base import Page, Response

DuplicateKind = Literal["exact", "similar"]


class DuplicateTrack(Response):
    track_id: UUID
    library: str
    path: str
    size: int = Field(description="bytes")
    duration_s: float | None = Field(description="null until the track is analysed")
    kind: DuplicateKind = Field(
        description="`exact`: its audio equals that of the group's first track; `similar`: it is close to it"
    )
    similarity: float | None = Field(description="cosine of the embeddings, to the group's first track")


class DuplicateGroup(Response):
    """Tracks that probably hold the same recording. Nothing is merged or deleted."""

    kind: DuplicateKind
    count: int = Field(description="number of tracks in the group; the 100 largest files are listed")
    tracks: list[DuplicateTrack] = Field(description="the largest file first")


class Duplicates(Page[DuplicateGroup]):
    compared: int = Field(description="number of tracks that this page compared")
