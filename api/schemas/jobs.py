"""Jobs of every kind, their progress and their items."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from api.schemas.analysis import LEFT_OUT, AnalysisOutcome, AnalysisRequest
from api.schemas.base import Response, example
from api.schemas.maps import MapOutcome, MapRequest
from api.schemas.predictions import Prediction
from api.schemas.preview import PreviewOutcome, PreviewRequest
from api.schemas.problems import JobError
from api.schemas.studies import TuningOutcome, TuningRequest
from api.schemas.thresholds import ThresholdOutcome, ThresholdsRequest
from api.schemas.training import TrainingOutcome, TrainingRequest
from core.config.params import JobKind
from core.states import Activity, ItemState, JobState

JobRequest = Annotated[
    AnalysisRequest | TrainingRequest | TuningRequest | ThresholdsRequest | PreviewRequest | MapRequest,
    Field(discriminator="kind"),
]
Outcome = (
    Prediction
    | TrainingOutcome
    | TuningOutcome
    | ThresholdOutcome
    | AnalysisOutcome
    | PreviewOutcome
    | MapOutcome
)
# Of the kinds of jobs whose row holds what they have found out; the others refer to rows that do.
OUTCOMES: dict[str, type[ThresholdOutcome | PreviewOutcome | MapOutcome]] = {
    JobKind.THRESHOLDS: ThresholdOutcome,
    JobKind.PREVIEW: PreviewOutcome,
    JobKind.MAP: MapOutcome,
}


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
    waiting: str | None = Field(
        None, description="why an open job does not go on now, in a sentence: too little disk space"
    )
    progress: Progress
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    params: dict[str, Any]
    result: Outcome | None = Field(
        description="set when the job has ended; the labels of an analysis are at `/results`"
    )
    error: JobError | None


class JobActivity(Response):
    """What is going on in a job."""

    model_config = example(
        {
            "units": {"ready": 12},
            "waits_for": ["No worker takes from the queue 'batch'."],
            "stage_s": {"cnn": 17.2, "decode": 6.1},
            "measured_units": 5,
        }
    )

    units: dict[str, int] = Field(description="units that have not ended, by state")
    waits_for: list[str] = Field(description="why nothing is being done for it, in sentences")
    stage_s: dict[str, float] = Field(description="seconds of work by stage, of the first ended pieces")
    measured_units: int = Field(description="the pieces that `stage_s` is of")


class FailureGroup(Response):
    """The items of a job that failed for one reason."""

    code: str
    detail: str | None = Field(description="the sentence of one of them")
    items: int


class JobFailures(Response):
    model_config = example(
        {
            "groups": [{"code": "not_audio", "detail": "The content is not audio.", "items": 4}],
            "complete": True,
        }
    )

    groups: list[FailureGroup] = Field(description="the largest first")
    complete: bool = Field(description="false if only the first 20,000 failed items are counted")


class Item(Response):
    """The outcome of one track in one job, or of a path that is not a track."""

    track_id: UUID | None = Field(
        description="null if the path is not a track: a link, a pipe, a folder that cannot be listed"
    )
    path: str = Field(description="relative to the library")
    state: ItemState
    error: JobError | None
