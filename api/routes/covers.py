"""The cover of a track."""

from functools import partial
from typing import Any
from uuid import UUID

from fastapi import Response
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.orm import Session

from api import schemas
from api.deps import Reader, ReadsDep, SessionsDep, SettingsDep
from api.file_responses import CACHING, FileRequestDep
from api.routes import make_router, problems
from api.track_jobs import read_once, submit
from api.waiting import NOT_DONE_YET, Prefer, answer_in_time
from core.config.params import CoverParams
from core.errors import TrackNotAnalysed
from core.store.corrections import NOT_IDENTIFIED
from core.store.covers import KnownCover, find_cover
from core.store.tracks import get_located_track

router = make_router("tracks")

PICTURE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The picture",
        "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
    },
    204: {"description": "The file has no cover"},
    304: {"description": "The client has it already"},
}


@router.get(
    "/{track_id}/cover",
    response_class=Response,
    responses=PICTURE | NOT_DONE_YET | problems(404, 409, 500),
)
async def get_cover(
    track_id: UUID,
    response: Response,
    caller: Reader,
    sessions: SessionsDep,
    reads: ReadsDep,
    settings: SettingsDep,
    wanted: FileRequestDep,
    prefer: Prefer = None,
) -> Response:
    """The picture that the file of a track holds, as a JPEG of at most 480 pixels a side.

    On the first request a worker extracts it in the sandbox, re-encodes and stores it: 202 with its job
    if that takes longer than `Prefer: wait=N`. JPEG and PNG are known; 204 if the file has no
    such picture. A file that cannot be read is a 422 whose `type` says why.
    """
    tag, known = await run_in_threadpool(read_once, reads, partial(_read, track_id=track_id))
    if known is None:
        submission = await run_in_threadpool(submit, sessions, settings, caller, track_id, CoverParams)
        found = await answer_in_time(
            reads, submission, prefer, response, lambda session, _job: _read(session, track_id)[1]
        )
        if isinstance(found, schemas.Job):
            headers = dict(response.headers)
            return Response(found.model_dump_json(), 202, headers, media_type="application/json")
        known = found
    headers = CACHING | {"ETag": tag}
    if wanted.is_known(tag):
        return Response(status_code=304, headers=headers)
    if known.jpeg is None:
        return Response(status_code=204, headers=headers)
    return Response(known.jpeg, headers=headers, media_type="image/jpeg")


def _read(session: Session, track_id: UUID) -> tuple[str, KnownCover | None]:
    """The entity tag of the cover, and what is known of it."""
    track, _ = get_located_track(session, track_id)
    if track.file_hash is None:
        raise TrackNotAnalysed(NOT_IDENTIFIED)
    return f'"cover-{track.file_hash.hex()}"', find_cover(session, track.file_hash)
