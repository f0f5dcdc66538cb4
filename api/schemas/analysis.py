"""What an analysis answers."""

from uuid import UUID

from pydantic import Field

from api.schemas.base import Response
from api.schemas.predictions import Prediction
from api.schemas.tracks import SimilarTrack

LEFT_OUT = (
    "of an analysis: files and folders that are no audio, counted by suffix (`.jpg`) or by reason "
    "(`system_folder`, `marked_folder`, `apple_double`, `unfinished_copy`, `no_suffix`, `link`, "
    "`special_file`, `other`)"
)


class AnalysisOutcome(Response):
    """What an analysis found beside the tracks, which are its items and results."""

    left_out: dict[str, int] = Field(description=LEFT_OUT)
    missing: int = Field(
        description="tracks that the listing did not meet, and that are marked as missing now"
    )
    warnings: list[str]


class Result(Prediction):
    """A labelled track of a job."""

    track_id: UUID
    path: str = Field(description="relative to the library")
    similar: list[SimilarTrack] | None = Field(
        default=None, description="the nearest tracks of the library, when asked for with `similar`"
    )
