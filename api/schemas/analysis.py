"""Analyses and their results."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from api.schemas.base import Request, Response, example
from api.schemas.predictions import Corrections, Prediction
from api.schemas.tracks import SimilarTrack
from core.config.params import AnalysisParams, JobKind

LEFT_OUT = (
    "files and folders that an analysis skipped, counted by suffix (`.jpg`) or by reason "
    "(`system_folder`, `marked_folder`, `apple_double`, `unfinished_copy`, `no_suffix`, `link`, "
    "`special_file`, `other`)"
)


class AnalysisRequest(Request):
    model_config = example({"kind": "analysis", "params": {"library": "home", "path": "jazz"}})

    kind: Literal[JobKind.ANALYSIS]
    params: AnalysisParams


class AnalysisOutcome(Response):
    """What an analysis reports besides its items and results."""

    left_out: dict[str, int] = Field(description=LEFT_OUT)
    missing: int = Field(
        description="tracks that the listing did not find and that are now marked as missing"
    )
    warnings: list[str]


class Result(Prediction):
    """A labelled track of a job."""

    track_id: UUID
    path: str = Field(description="relative to the library")
    corrections: Corrections = Field({})
    similar: list[SimilarTrack] | None = Field(
        default=None, description="the nearest tracks of the library; only if `similar` is given"
    )
