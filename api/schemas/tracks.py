"""Tracks of a library, their embeddings and their neighbours."""

from typing import Any
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


class Embedding(Response):
    track_id: UUID
    model: str
    embedding: list[float]
