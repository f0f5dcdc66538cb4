"""The waveform of a track."""

from collections.abc import Callable
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.orm import Session

from api import schemas
from api.deps import Caller, Reader, ReadsDep, SessionsDep, SettingsDep
from api.routes import make_router, problems
from api.security.access import allowed_open_jobs
from api.waiting import NOT_DONE_YET, Prefer, answer_in_time
from core.jobs.kinds import SubmissionContext
from core.jobs.submission import Submission
from core.services.peaks import submit_peaks
from core.settings import Settings
from core.store.corrections import get_content_hash
from core.store.session import SessionFactory, transaction
from core.store.waveforms import find_levels

router = make_router("tracks")

Bins = Annotated[int, Query(ge=1, le=2000, description="into how many parts the track is divided")]


@router.get(
    "/{track_id}/peaks",
    response_model=schemas.Peaks | schemas.Job,
    responses=NOT_DONE_YET | problems(404, 409, 500),
)
async def get_peaks(
    track_id: UUID,
    response: Response,
    caller: Reader,
    sessions: SessionsDep,
    reads: ReadsDep,
    settings: SettingsDep,
    bins: Bins = 800,
    prefer: Prefer = None,
) -> schemas.Peaks | schemas.Job:
    """How loud a track is from beginning to end, as numbers from 0 to 255.

    Tracks that were analysed as a whole have them. For others a worker decodes the file once: 200 if that is
    done in time, else 202 with its job, after which this is asked again. A file that cannot be decoded is a
    422 whose `type` says why.
    """
    read = partial(_read, track_id=track_id, bins=bins)
    known = await run_in_threadpool(_find, reads, read)
    if known is not None:
        return known
    submission = await run_in_threadpool(_submit, sessions, settings, caller, track_id)
    return await answer_in_time(reads, submission, prefer, response, lambda session, _job: read(session))


def _read(session: Session, track_id: UUID, bins: int) -> schemas.Peaks | None:
    levels = find_levels(session, get_content_hash(session, track_id), bins)
    if levels is None:
        return None
    return schemas.Peaks(
        track_id=track_id, duration_s=round(levels.duration_s, 3), peaks=levels.peaks, rms=levels.rms
    )


def _find(reads: SessionFactory, read: Callable[[Session], schemas.Peaks | None]) -> schemas.Peaks | None:
    with reads() as session:
        return read(session)


def _submit(sessions: SessionFactory, settings: Settings, caller: Caller, track_id: UUID) -> Submission:
    """Also for a caller who may only read: what is computed is a view of what is there."""
    context = SubmissionContext(caller.owner, max_open_jobs=allowed_open_jobs(settings))
    with transaction(sessions) as session:
        return submit_peaks(session, track_id, context)
