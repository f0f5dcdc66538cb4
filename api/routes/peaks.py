"""The waveform of a track."""

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.orm import Session

from api import schemas
from api.deps import Reader, ReadsDep, SessionsDep, SettingsDep
from api.routes import make_router, problems
from api.track_jobs import read_once, submit
from api.waiting import NOT_DONE_YET, Prefer, answer_in_time
from core.config.params import PeaksParams
from core.store.corrections import get_content_hash
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
    known = await run_in_threadpool(read_once, reads, read)
    if known is not None:
        return known
    submission = await run_in_threadpool(submit, sessions, settings, caller, track_id, PeaksParams)
    return await answer_in_time(reads, submission, prefer, response, lambda session, _job: read(session))


def _read(session: Session, track_id: UUID, bins: int) -> schemas.Peaks | None:
    levels = find_levels(session, get_content_hash(session, track_id), bins)
    if levels is None:
        return None
    return schemas.Peaks(
        track_id=track_id, duration_s=round(levels.duration_s, 3), peaks=levels.peaks, rms=levels.rms
    )
