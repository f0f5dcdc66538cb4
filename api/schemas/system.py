"""The state of the whole system, and who asks."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from api.schemas.base import Response
from api.schemas.jobs import Job
from api.schemas.tracks import LabelCount
from core.scopes import Scope


class SystemVersions(Response):
    server: str
    python: str
    postgres: str
    migration: str | None = Field(description="the last one that the database has had")


class EffectiveSetting(Response):
    """A setting of the gateway, which the environment or `.env` may set."""

    variable: str = Field(examples=["MFA_PORT"])
    description: str
    value: str | None = Field(description="null if it is secret, or not set")
    is_secret: bool
    is_set: bool = Field(description="whether it differs from the default")


class SystemWorker(Response):
    name: str
    is_dispatcher: bool = Field(description="whether it hands out work instead of doing any")
    queues: list[str]
    slots: int = Field(description="units of work at a time")
    draining: bool = Field(description="whether it ends after what it is doing")
    alive: bool = Field(description="whether it was heard of in the last 30 seconds")
    started_at: datetime
    seen_at: datetime


class QueueState(Response):
    name: str
    slots: int = Field(description="units that living workers can do at a time")
    running: int = Field(description="units that workers are at")
    waiting: int = Field(description="units that no worker has begun")
    oldest_waiting_s: float | None = Field(description="since the first of them could have begun")


class Failure(Response):
    """What has failed for one reason in the jobs of the last seven days."""

    code: str
    detail: str | None = Field(description="one of the sentences about it")
    tracks: int
    jobs: int = Field(description="jobs that failed as a whole")
    last_job: UUID = Field(description="the newest job in which it happened")


class LibraryTotals(Response):
    """Of all libraries together, counted at `counted_at`; exact but for estimates of labels."""

    libraries: int
    tracks: int = Field(description="without missing ones")
    bytes: int
    missing: int = Field(description="tracks whose file was gone when their library was last listed")
    duplicates: int = Field(description="tracks with the audio of another, the first of each not counted")
    labelled: int = Field(description="tracks that the model has labelled")
    hours: float = Field(description="of the labelled tracks")
    model: str | None = Field(description="the default one; null if there is none")
    top_labels: list[LabelCount] = Field(
        description="those that most tracks have by this model and by people, at most 12"
    )
    top_labels_exact: bool = Field(description="whether these tracks were counted; else they are estimates")
    counted_at: datetime


class System(Response):
    ready: bool
    missing: list[str] = Field(description="what the server still waits for, one sentence each")
    workers: list[SystemWorker] = Field(description="all that were heard of in the last hour")
    queues: list[QueueState]
    open_jobs: dict[str, int] = Field(description="how many there are of each state")
    jobs: list[Job] = Field(
        description="the newest open ones, at most 20; only those that the caller may see"
    )
    failures: list[Failure] = Field(description="the most frequent first; of jobs that the caller may see")
    failures_complete: bool = Field(description="false if there are more failed tracks than are counted")
    library: LibraryTotals
    versions: SystemVersions


class Me(Response):
    """Who asks, and what they may do."""

    needs_key: bool = Field(description="whether this server asks for API keys")
    key_id: UUID | None = Field(description="null on a server that asks for none")
    name: str | None = Field(description="of the key")
    scopes: list[Scope]
    expires_at: datetime | None = Field(description="null if the key does not expire")
