"""Models that are trained again by themselves."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from api.schemas.base import Request, Response
from api.schemas.problems import JobError


class RetrainingRequest(Request):
    after_tracks: int = Field(
        ge=1, le=1_000_000, description="tracks to be corrected since the last training, or the last try"
    )
    library: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="whose corrections count and are trained on; by default that of the last training",
    )


class Retraining(Response):
    """When the models of a name are trained again, and what became of it last."""

    model: str = Field(description="name of the models")
    enabled: bool
    after_tracks: int
    library: str | None = Field(description="null once it has been deleted: then nothing is trained")
    serving: str | None = Field(
        description="`name@version` that the next model is compared with: the default model if it has the "
        "name, else the newest version but for offers that nobody promoted"
    )
    corrected: int | None = Field(
        description="tracks of the library corrected since that model's training or, if later, the last try; "
        "null if the library, the model or its run has been deleted"
    )
    tried_at: datetime | None = Field(description="when a training was last submitted, or could not be")
    job: UUID | None = Field(description="the last training, or its newest retry")
    state: str | None = Field(description="of that job")
    offered: str | None = Field(description="`name@version` of its model; `GET /models` has the comparison")
    error: JobError | None = Field(
        description="why nothing can be counted, or why the last training failed or could not be submitted; "
        "the next one starts after `after_tracks` more, or once it is set up again"
    )


class RetrainingProgress(Response):
    """What people have said since the last training, whether or not anybody has set retraining up."""

    model: str = Field(description="name of the models")
    serving: str | None = Field(
        description="`name@version` that was trained before these corrections; null without one"
    )
    library: str | None = Field(description="whose corrections count; null once it has been deleted")
    corrected: int | None = Field(
        description="tracks corrected since that model's training or, if later, the last try; null if that "
        "cannot be told"
    )
    job: UUID | None = Field(description="the last training that was submitted for it, or its newest retry")
    state: str | None = Field(description="of that job")
