"""Maps: all tracks as points in the plane."""

from datetime import datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

from pydantic import Field

from api.schemas.base import Request, Response, example
from api.schemas.tracks import Track
from core.config.params import JobKind, MapParams

MAP_ID = "7f0a4f86-52f1-4be1-9a3e-4f0c6a3f9b10"
OUTCOME = {
    "map_id": MAP_ID,
    "model": "musicnn-msd@1",
    "library": None,
    "points": 1200,
    "tracks": 1210,
    "not_analysed": 4,
    "no_embedding": 2,
    "landmarks": 1200,
    "trustworthiness": 0.97,
}


class MapRequest(Request):
    model_config = example({"kind": "map", "params": {"model": "default", "library": None, "seed": 0}})

    kind: Literal[JobKind.MAP]
    params: MapParams


class MapOutcome(Response):
    """A map that has been drawn. It replaces the one before of the same encoder and library."""

    model_config = example(OUTCOME)

    map_id: UUID
    model: str = Field(description="`name@version`: by its embeddings, and with its labels")
    library: str | None = Field(description="null: all libraries")
    points: int = Field(description="pieces of audio; copies of one lie in one point")
    tracks: int = Field(description="tracks that were there when it was drawn")
    not_analysed: int = Field(description="of these, tracks without a point, as their audio was not read yet")
    no_embedding: int = Field(
        description="of these, tracks without a point, as no embedding by the model is stored"
    )
    landmarks: int = Field(description="points laid out by t-SNE, among which the others are placed")
    trustworthiness: float | None = Field(
        description="0 to 1, of up to 1,000 points: 1 if their nearest on the map are near by their "
        "embeddings; null for too few points"
    )


class MapRegion(Response):
    """Where a label stands out."""

    label: str
    level: int = Field(description="0 for the largest regions, up to 3 for those seen from near")
    x: int = Field(description="mean of its points, 0 to 65,535")
    y: int
    tracks: int = Field(description="points in it whose first label this is")


class Map(MapOutcome):
    """The newest map of an encoder and a library, or of all."""

    model_config = example(
        OUTCOME
        | {
            "drawn_at": "2026-03-01T12:00:00Z",
            "seed": 0,
            "labels": ["electronic", "ambient"],
            "regions": [{"label": "ambient", "level": 0, "x": 41_200, "y": 12_800, "tracks": 310}],
        }
    )

    drawn_at: datetime
    seed: int
    labels: list[str] = Field(description="first labels of its points, the most frequent first; at most 254")
    regions: list[MapRegion] = Field(description="the largest of each level first")


class UnplacedTracks(Response):
    """Tracks that are there and have no point on a map."""

    model_config = example({"map_id": MAP_ID, "tracks": 4, "complete": True})

    map_id: UUID
    tracks: int
    complete: bool = Field(description="false if there may be more than the 10,000 that were counted")


class MapColour(StrEnum):
    """What the colour of a point tells."""

    LABEL = "label"  # its first label when the map was drawn
    SCORE = "score"  # of one label
    LIBRARY = "library"
    DUPLICATES = "duplicates"
    DISAGREEMENT = "disagreement"  # whether two models give the same first label


class MapPoint(Response):
    """What lies at a point."""

    map_id: UUID
    place: int = Field(description="in the order of the points, from 0")
    x: int = Field(description="0 to 65,535")
    y: int
    tracks: list[Track] = Field(description="with this audio, at most 10; none if they are all gone")


class MapMatches(Response):
    """Where tracks lie that meet a condition."""

    model_config = example({"map_id": MAP_ID, "places": [3, 17, 401], "complete": True})

    map_id: UUID
    places: list[int] = Field(description="in the order of the points, from 0")
    complete: bool = Field(description="false if there are more than the 5,000 that are named")
