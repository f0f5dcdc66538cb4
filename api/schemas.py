"""Shapes of requests and responses. Torch-free and database-free: the client uses them too."""

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.params import AnalysisParams, JobKind
from core.states import ItemState, JobState

T = TypeVar("T")
Scope = Literal["read", "write", "admin"]
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


class JobRequest(Request):
    kind: Literal[JobKind.ANALYSIS]
    params: AnalysisParams


class Progress(Response):
    total: int = Field(description="items found so far; final once `percent` is known")
    done: int
    failed: int
    skipped: int = Field(description="items whose result was there already")
    percent: float | None = Field(description="null until the library is listed to its end")
    rate_per_s: float | None = Field(description="items per second")
    eta_s: float | None = Field(description="seconds until the job will probably have ended")


class Label(Response):
    label: str
    score: float


class Prediction(Response):
    """What a model says of one piece of audio."""

    labels: list[Label] = Field(description="labels at or above their threshold, highest score first")
    duration_s: float
    model: str = Field(description="`name@version`", examples=["musicnn-msd@1"])
    scores: Scores | None = None


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
    result: Prediction | None = Field(description="of a `predict` job; an analysis has `/results`")
    error: JobError | None


class Item(Response):
    """The outcome of one track in one job."""

    track_id: UUID
    path: str = Field(description="relative to the library")
    state: ItemState
    error: JobError | None


class Result(Prediction):
    """A labelled track of a job."""

    track_id: UUID
    path: str = Field(description="relative to the library")


class LibraryRequest(Request):
    name: str = Field(min_length=1, max_length=200)
    path: str = Field(description="absolute path of a folder on the server", min_length=1, max_length=4096)


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
    missing: bool = Field(description="the file was gone when the library was listed last")
    prediction: Prediction | None = Field(description="null until the model has heard the track")


class SimilarTrack(Response):
    track_id: UUID
    library: str
    path: str
    similarity: float = Field(description="cosine of the two embeddings; 1 means the same direction")


class SimilarTracks(Response):
    track_id: UUID
    model: str
    items: list[SimilarTrack]


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
