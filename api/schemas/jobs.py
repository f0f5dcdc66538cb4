"""Jobs of every kind, their progress and their items."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from api.schemas.analysis import LEFT_OUT, AnalysisOutcome
from api.schemas.base import Request, Response
from api.schemas.predictions import Prediction
from api.schemas.problems import JobError
from api.schemas.studies import TuningOutcome
from api.schemas.thresholds import ThresholdOutcome
from api.schemas.training import TrainingOutcome
from core.config.params import AnalysisParams, JobKind, ThresholdParams, TrainingParams, TuningParams
from core.states import Activity, ItemState, JobState


class AnalysisRequest(Request):
    kind: Literal[JobKind.ANALYSIS]
    params: AnalysisParams


class TrainingRequest(Request):
    kind: Literal[JobKind.TRAINING]
    params: TrainingParams


class TuningRequest(Request):
    kind: Literal[JobKind.TUNING]
    params: TuningParams


class ThresholdsRequest(Request):
    kind: Literal[JobKind.THRESHOLDS]
    params: ThresholdParams


JobRequest = Annotated[
    AnalysisRequest | TrainingRequest | TuningRequest | ThresholdsRequest, Field(discriminator="kind")
]


class CurrentActivity(Response):
    """What a running training is doing."""

    name: Activity
    done: int = Field(description="tracks, steps of an epoch, trees, folds or resamples")
    total: int | None = Field(description="null if unknown")


class Progress(Response):
    total: int = Field(description="items found so far; final once `percent` is known")
    done: int
    failed: int
    skipped: int = Field(description="items that already had a result")
    percent: float | None = Field(description="null until the whole library is listed")
    rate_per_s: float | None = Field(description="items per second")
    eta_s: float | None = Field(description="estimated seconds until the job ends")
    tracks_read: int | None = Field(
        None, description="tracks prepared so far, before a training or the trials of a study"
    )
    tracks_to_read: int | None = None
    left_out: dict[str, int] = Field({}, description=LEFT_OUT)
    warnings: list[str] = Field([], description="warnings of an analysis, in sentences")
    activity: CurrentActivity | None = Field(None, description="current step of a running training")


class Job(Response):
    id: UUID
    kind: JobKind
    state: JobState
    progress: Progress
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    params: dict[str, Any]
    result: Prediction | TrainingOutcome | TuningOutcome | ThresholdOutcome | AnalysisOutcome | None = Field(
        description="set when the job has ended; the labels of an analysis are at `/results`"
    )
    error: JobError | None


class Item(Response):
    """The outcome of one track in one job, or of a path that is not a track."""

    track_id: UUID | None = Field(
        description="null if the path is not a track: a link, a pipe, a folder that cannot be listed"
    )
    path: str = Field(description="relative to the library")
    state: ItemState
    error: JobError | None
