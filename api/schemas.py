"""Shapes of requests and responses. Torch-free and database-free: the client uses them too."""

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, Self, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from core.config.params import AnalysisParams, JobKind, TrainingParams, TuningParams
from core.config.tuning import MAX_TRIALS
from core.scopes import Scope
from core.states import Activity, ItemState, JobState, TrialState

T = TypeVar("T")
LEFT_OUT = (
    "of an analysis: files and folders that are no audio, counted by suffix (`.jpg`) or by reason "
    "(`system_folder`, `marked_folder`, `apple_double`, `unfinished_copy`, `no_suffix`, `link`, "
    "`special_file`, `other`)"
)
Scores = Annotated[dict[str, float], Field(description="score of every label of the model, 0 to 1")]


def refuse_unstorable(body: Any) -> None:
    """No text column can hold a NUL or half of a surrogate pair. Walks without recursion, however deep."""
    waiting = [body]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str):
            if "\0" in value:
                raise ValueError("text cannot contain a NUL character")
            if any("\ud800" <= char <= "\udfff" for char in value):
                raise ValueError("text must be valid Unicode")


class Request(BaseModel):
    """A JSON body; unknown keys are refused, so that a misspelt one is no silent default."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _check_text(cls, body: Any) -> Any:
        refuse_unstorable(body)
        return body


class Response(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Page(Response, Generic[T]):
    items: list[T]
    next_cursor: str | None = Field(default=None, description="pass it as `cursor` for the next page")


class FieldError(Response):
    location: str = Field(description="where it is wrong", examples=["body.params.library"])
    code: str = Field(examples=["missing"])
    detail: str = Field(examples=["Field required"])


class Problem(Response):
    """An error, as RFC 9457 describes it."""

    type: str = Field(description="stable name of the error", examples=["urn:mfa:error:library_not_found"])
    title: str = Field(examples=["Library not found"])
    status: int = Field(examples=[404])
    detail: str = Field(description="what is wrong, in a sentence")
    errors: list[FieldError] | None = Field(default=None, description="the fields that are wrong")


class AnalysisRequest(Request):
    kind: Literal[JobKind.ANALYSIS]
    params: AnalysisParams


class TrainingRequest(Request):
    kind: Literal[JobKind.TRAINING]
    params: TrainingParams


class TuningRequest(Request):
    kind: Literal[JobKind.TUNING]
    params: TuningParams


JobRequest = Annotated[AnalysisRequest | TrainingRequest | TuningRequest, Field(discriminator="kind")]


class CurrentActivity(Response):
    """What a running training is doing."""

    name: Activity
    done: int = Field(description="tracks, steps of an epoch, trees, folds or resamples")
    total: int | None = Field(description="null where it cannot be told")


class Progress(Response):
    total: int = Field(description="items found so far; final once `percent` is known")
    done: int
    failed: int
    skipped: int = Field(description="items whose result was there already")
    percent: float | None = Field(description="null until the library is listed to its end")
    rate_per_s: float | None = Field(description="items per second")
    eta_s: float | None = Field(description="seconds until the job will probably have ended")
    tracks_read: int | None = Field(None, description="of a training that is getting its tracks ready")
    tracks_to_read: int | None = None
    left_out: dict[str, int] = Field({}, description=LEFT_OUT)
    warnings: list[str] = Field([], description="of an analysis: what its owner should know, in sentences")
    activity: CurrentActivity | None = Field(
        None, description="of a running training, also between its epochs"
    )


class Label(Response):
    label: str
    score: float


class Prediction(Response):
    """What a model says of one piece of audio."""

    labels: list[Label] = Field(description="labels at or above their threshold, highest score first")
    duration_s: float
    model: str = Field(description="`name@version`", examples=["musicnn-msd@1"])
    warnings: list[str] = Field([], description="what of the audio could not be decoded and is left out")
    scores: Scores | None = None


class Interval(Response):
    """A measure with the bounds of its 95 % interval."""

    value: float | None
    low: float | None
    high: float | None


class LabelOutcome(Response):
    """How well one label is told, on tracks that were not learnt from."""

    label: str
    support: int = Field(description="tracks that have it")
    roc_auc: float | None
    pr_auc: float | None
    f1: float | None


class TrainingOutcome(Response):
    """What a training has come to."""

    run_id: UUID
    experiment: str
    model: str = Field(description="`name@version`", examples=["my-genres@1"])
    evaluated_on: str = Field(description="`out_of_fold` when cross-validated, else `test`")
    metrics: dict[str, float | None]
    intervals: dict[str, Interval] = Field(description="bootstrapped over artists where they are known")
    labels: list[LabelOutcome]
    dropped: int = Field(description="tracks that could not be read")
    warnings: list[str]


class BestTrial(Response):
    number: int
    params: dict[str, Any] = Field(description="by dotted key of the experiment")
    values: dict[str, float] = Field(description="by objective")


class TuningOutcome(Response):
    """What a study has come to."""

    study_id: UUID
    best: list[BestTrial] = Field(description="the best trial, or the Pareto front of several objectives")
    counts: dict[TrialState, int] = Field(description="all trials of the study, by state")


class ThresholdPoint(Response):
    threshold: float
    precision: float
    recall: float


class LabelThreshold(Response):
    """From which score on a label is given, and what that means on the validation tracks."""

    label: str
    threshold: float
    before: float = Field(description="the threshold until now")
    support: int = Field(description="validation tracks that have the label")
    precision: float | None
    recall: float | None
    front: list[ThresholdPoint] = Field(
        description="precision against recall: thresholds that no other beats in both"
    )


class ThresholdOutcome(Response):
    """What a tuning of thresholds has come to."""

    model: str = Field(description="`name@version`, the same weights with new thresholds")
    labels: list[LabelThreshold]
    unreached: list[str] = Field(
        default=[], description="labels that have `min_precision` at no threshold: theirs is the nearest"
    )


class AnalysisOutcome(Response):
    """What an analysis found beside the tracks, which are its items and results."""

    left_out: dict[str, int] = Field(description=LEFT_OUT)
    missing: int = Field(
        description="tracks that the listing did not meet, and that are marked as missing now"
    )
    warnings: list[str]


class JobError(Response):
    code: str = Field(examples=["not_audio"])
    detail: str


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
        description="once it has ended; the labels of an analysis are at `/results`"
    )
    error: JobError | None


class Item(Response):
    """The outcome of one track in one job, or of a path that is no track."""

    track_id: UUID | None = Field(
        description="null where the path is no track: a link, a pipe, a folder that cannot be listed"
    )
    path: str = Field(description="relative to the library")
    state: ItemState
    error: JobError | None


class SimilarTrack(Response):
    track_id: UUID
    library: str
    path: str
    similarity: float = Field(description="cosine of the two embeddings; 1 means the same direction")


class Result(Prediction):
    """A labelled track of a job."""

    track_id: UUID
    path: str = Field(description="relative to the library")
    similar: list[SimilarTrack] | None = Field(
        default=None, description="the nearest tracks of the library, when asked for with `similar`"
    )


def _addressable(name: str) -> str:
    """In an address, `.` and `..` stand for other addresses."""
    if {".", ".."} & set(name.split("/")):
        raise ValueError("`.` and `..` cannot be parts of a name")
    return name


LibraryName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_addressable)]


class LibraryRequest(Request):
    name: LibraryName
    path: str = Field(description="absolute path of a folder on the server", min_length=1, max_length=4096)


class LibraryChange(Request):
    """What is left out stays as it is."""

    name: LibraryName | None = None
    path: str | None = Field(
        default=None, description="absolute path of its folder on the server", min_length=1, max_length=4096
    )

    @model_validator(mode="after")
    def _check_something(self) -> Self:
        if self.name is None and self.path is None:
            raise ValueError("give a `name`, a `path` or both")
        return self


class Library(Response):
    id: UUID
    name: str
    path: str
    created_at: datetime
    tracks: int = Field(description="tracks known to be in it")


class Track(Response):
    id: UUID
    library: str
    path: str = Field(description="relative to the library")
    size: int = Field(description="bytes")
    tags: dict[str, Any] | None = Field(description="as read from the file; null until it is analysed")
    tags_error: str | None = Field(description="why tags cannot be read, wholly or in part; else null")
    missing: bool = Field(description="the file was gone when the library was listed last")
    prediction: Prediction | None = Field(description="null until the model has heard the track")


class SimilarTracks(Response):
    track_id: UUID
    model: str
    items: list[SimilarTrack]


DuplicateKind = Literal["exact", "similar"]


class DuplicateTrack(Response):
    track_id: UUID
    library: str
    path: str
    size: int = Field(description="bytes")
    duration_s: float | None = Field(description="null until the track is analysed")
    kind: DuplicateKind = Field(
        description="`exact`: its audio equals that of the group's first track; `similar`: it is near to it"
    )
    similarity: float | None = Field(description="cosine of the embeddings, to the group's first track")


class DuplicateGroup(Response):
    """Tracks that probably hold the same recording. Nothing is merged or deleted."""

    kind: DuplicateKind
    count: int = Field(description="tracks in the group; the hundred largest files are listed")
    tracks: list[DuplicateTrack] = Field(description="the largest file first")


class Duplicates(Page[DuplicateGroup]):
    compared: int = Field(description="tracks that this page looked at")


class Embedding(Response):
    track_id: UUID
    model: str
    embedding: list[float]


class Model(Response):
    """A version of a learned model."""

    name: str
    version: int
    kind: str
    aliases: list[str] = Field(description="`default` is the model of jobs that name none")
    labels: list[str]
    thresholds: list[float] = Field(description="score from which a label is given, in the order of `labels`")
    embedding_size: int
    metrics: dict[str, Any]
    sha256: str = Field(description="of the weights")
    created_at: datetime


class PromotionRequest(Request):
    version: int | None = Field(
        default=None, ge=1, le=999_999_999, description="the newest when none is named"
    )
    alias: str = Field(default="default", min_length=1, max_length=200)


class Experiment(Response):
    """Runs under one name, which is also the name of the models they gave."""

    name: str
    created_at: datetime
    run_count: int


class Run(Response):
    """One training."""

    id: UUID
    experiment: str
    job_id: UUID | None
    state: JobState | None = Field(description="of its job")
    model: str | None = Field(description="`name@version`; null until it has succeeded")
    seed: int
    dataset_sha256: str | None = Field(description="of the tracks, their labels and contents")
    code_version: str | None
    metrics: dict[str, float | None] | None
    duration_s: float | None
    created_at: datetime
    finished_at: datetime | None


class ExperimentRuns(Experiment):
    runs: list[Run] = Field(description="the newest hundred, newest first")


class Epoch(Response):
    """A point of the training curves."""

    fold: int | None = Field(description="from 1; null outside of a cross-validation's folds")
    epoch: int = Field(description="from 1")
    train_loss: float | None
    validation_loss: float | None
    validation: dict[str, float | None] = Field(description="metrics on the validation tracks")
    learning_rate: float
    duration_s: float
    busy_share: float = Field(description="how much of the epoch did not wait for data")
    is_best: bool


class RunDetails(Run):
    config: dict[str, Any] = Field(description="with all that it was resolved to, once it has ended")
    results: dict[str, Any] | None = Field(description="metrics, intervals, measures per label, warnings")
    epochs: list[Epoch] = Field(description="the training curves")
    artifacts: list[str] = Field(description="files for `/runs/{id}/artifacts/{name}`")


class RunComparison(Response):
    """Runs side by side; the lists in it are in the order of `runs`."""

    runs: list[Run]
    metrics: dict[str, list[float | None]]
    differences: dict[str, list[Any]] = Field(description="of the configurations, by dotted key")


class Trial(Response):
    """One point of a study's space."""

    number: int = Field(description="from 0")
    state: TrialState
    params: dict[str, Any] | None = Field(description="by dotted key; null until it has started")
    values: dict[str, float] | None = Field(description="by objective; null unless it is complete")
    error: JobError | None
    started_at: datetime | None
    finished_at: datetime | None


class TrialPoint(Response):
    """A point of a trial's curve."""

    fold: int | None
    epoch: int
    train_loss: float | None
    validation_loss: float | None
    validation: dict[str, float | None]


class TrialDetails(Trial):
    curve: list[TrialPoint] = Field(description="empty unless asked for with `curves=true`")


class Study(Response):
    """A search for hyper-parameters."""

    id: UUID
    name: str
    job_id: UUID | None = Field(description="its last job")
    state: JobState | None = Field(description="of its last job")
    counts: dict[TrialState, int] = Field(description="trials by state")
    created_at: datetime


class StudyDetails(Study):
    config: dict[str, Any]
    best: BestTrial | None = Field(description="null for several objectives, and until a trial is complete")
    pareto_front: list[BestTrial] = Field(
        description="up to 100 of the trials that no other beats in every objective; empty for one objective"
    )
    pareto_size: int = Field(description="trials on the Pareto front, also those that are not listed")
    leaders: list[BestTrial] = Field(
        description="the 20 best complete trials, the best first; empty for several objectives"
    )
    failures: list[JobError] = Field(description="reasons of failed trials, each once, at most 10")
    importances: dict[str, dict[str, float]] | None = Field(
        description="share of each objective's variance by key; written when a job of the study ends"
    )
    plots: list[str] = Field(description="pictures for `/studies/{id}/plots/{name}.png`")
    trials: list[Trial] = Field(description="the first hundred; `/studies/{id}/trials` lists all of them")
    trials_cursor: str | None = Field(
        description="`cursor` with which `/studies/{id}/trials` goes on; null when all are listed here"
    )


class ResumeRequest(Request):
    n_trials: int = Field(ge=1, le=MAX_TRIALS, description="so many more")


class BestRequest(Request):
    trial: int | None = Field(
        default=None, ge=0, le=999_999_999, description="train this one instead of the best"
    )


class ApiKeyRequest(Request):
    name: str = Field(min_length=1, max_length=200, description="to recognise the key by")
    scope: Scope = Field(description="each scope includes the ones before it: read, write, admin")
    expires_in_days: int | None = Field(default=None, ge=1, le=36_500)


class ApiKey(Response):
    id: UUID
    name: str
    prefix: str = Field(description="the part of the key after `mfa_`, to find it again")
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class NewApiKey(ApiKey):
    key: str = Field(description="the key itself, shown this once")


class Health(Response):
    status: Literal["ok"]


class Readiness(Response):
    ready: bool
    missing: list[str] = Field(description="what is not there yet, one sentence each")
