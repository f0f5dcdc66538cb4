"""Tracks of a library, their embeddings and their neighbours."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from api.schemas.base import Response
from api.schemas.predictions import Corrections, Label, Prediction


class Track(Response):
    id: UUID
    library: str
    path: str = Field(description="relative to the library")
    size: int = Field(description="bytes")
    tags: dict[str, Any] | None = Field(description="as read from the file; null until it is analysed")
    tags_error: str | None = Field(description="why some or all tags cannot be read; else null")
    playable: bool | None = Field(
        None,
        description="whether common browsers play the format that the suffix of the file names; null if it "
        "names none",
    )
    missing: bool = Field(description="whether the file was gone when the library was last listed")
    labels: list[Label] = Field(
        [], description="as in the prediction; without one, only those that people gave"
    )
    corrections: Corrections = Field({})
    prediction: Prediction | None = Field(description="null until the model has analysed the track")


class SimilarTrack(Response):
    track_id: UUID
    library: str
    path: str
    similarity: float = Field(description="cosine similarity of the two embeddings, at most 1")


class SimilarTracks(Response):
    track_id: UUID
    model: str
    items: list[SimilarTrack]


Levels = list[Annotated[int, Field(ge=0, le=255)]]


class Peaks(Response):
    """How loud a track is in equal parts of its duration; 255 is full scale."""

    track_id: UUID
    duration_s: float
    peaks: Levels = Field(description="the highest absolute sample of each part")
    rms: Levels = Field(description="the root of the mean square of each part")


class Embedding(Response):
    track_id: UUID
    model: str
    embedding: list[float]
