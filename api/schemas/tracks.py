"""Tracks of a library, their embeddings and their neighbours."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from api.schemas.base import Response
from api.schemas.predictions import Corrections, Label, Prediction
from api.schemas.problems import JobError


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
    modified_at: datetime | None = Field(
        None, description="last change of the file; null if it is no date of the calendar"
    )
    missing: bool = Field(description="whether the file was gone when the library was last listed")
    failure: JobError | None = Field(
        None,
        description="of a single track: why the last job that dealt with it could not label it; else null",
    )
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


class LabelCount(Response):
    label: str
    facet: str | None = Field(
        description="what kind of label it is: as a label set says, else `genre`, `mood`, `era` or "
        "`instruments and voice` for common labels; null for others"
    )
    count: int


class TrackFacets(Response):
    """How many tracks have what; of each kind the most frequent values, at most 200."""

    exact: bool = Field(description="whether all tracks were counted; else the counts are estimates")
    sampled: int | None = Field(description="on how many tracks the estimates are based; null if exact")
    tracks: int = Field(description="all that match")
    missing: int = Field(description="those that match but for their file being gone")
    missing_exact: bool = Field(description="whether these were counted; else `missing` is an estimate")
    analysed: int = Field(description="that the model has labelled")
    corrected: int = Field(description="of whose labels people said something")
    unsure: int = Field(description="of which somebody could not tell whether they have a label")
    labels: list[LabelCount] = Field(description="as tracks have them: with corrections")
    suffixes: dict[str, int]
    years: dict[str, int] = Field(description="of the tag `date`")
    libraries: dict[str, int]


Levels = list[Annotated[int, Field(ge=0, le=255)]]


class Peaks(Response):
    """How loud a track is in equal parts of its duration; 255 is full scale."""

    track_id: UUID
    duration_s: float
    peaks: Levels = Field(description="the highest absolute sample of each part")
    rms: Levels = Field(description="the root of the mean square of each part")


class StoredPrediction(Prediction):
    """What one model says of the audio of a track, whatever people say of it."""

    created_at: datetime = Field(description="when the model has first labelled the audio")
    coverage: str = Field(description="`full`, or how many windows of the audio the model has heard")


class TrackPredictions(Response):
    track_id: UUID
    items: list[StoredPrediction] = Field(description="one of each model, the newest first")


class Embedding(Response):
    track_id: UUID
    model: str
    embedding: list[float]
