"""What routes need that answer with something a worker reads from the file of one track."""

from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from sqlalchemy.orm import Session

from api.deps import Caller
from api.security.access import allowed_open_jobs
from core.config.params import OneTrackParams
from core.jobs.kinds import SubmissionContext
from core.jobs.submission import Submission
from core.services.track_jobs import submit_for_track
from core.settings import Settings
from core.store.session import SessionFactory, transaction

T = TypeVar("T")


def read_once(reads: SessionFactory, read: Callable[[Session], T]) -> T:
    with reads() as session:
        return read(session)


def submit(
    sessions: SessionFactory,
    settings: Settings,
    caller: Caller,
    track_id: UUID,
    kind: type[OneTrackParams],
) -> Submission:
    """Also for a caller who may only read: what is computed is a view of what is there."""
    context = SubmissionContext(caller.owner, max_open_jobs=allowed_open_jobs(settings))
    with transaction(sessions) as session:
        return submit_for_track(session, track_id, kind, context)
