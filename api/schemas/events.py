"""What the stream of changes tells: enough to know what to read again."""

from uuid import UUID

from pydantic import Field

from api.schemas.base import Response
from api.schemas.jobs import Progress
from core.config.params import JobKind
from core.states import JobState


class JobChange(Response):
    id: UUID
    kind: JobKind
    state: JobState
    progress: Progress


class JobChanges(Response):
    changed: list[JobChange] = Field(description="jobs that are new, or whose state or progress has changed")
    gone: list[UUID] = Field(
        description="jobs told of before that were deleted, or ended and are not among the newest"
    )
