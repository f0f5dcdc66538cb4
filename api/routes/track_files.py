"""What is read from the file of a track."""

from typing import Any
from uuid import UUID

from fastapi import Response

from api.deps import READ, SessionDep
from api.file_responses import FileRequestDep, answer_file
from api.routes import make_router, problems
from core.services.track_files import open_track

router = make_router("tracks", dependencies=[READ])

BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
AUDIO: dict[str, Any] = {"content": dict.fromkeys(("audio/*", "video/*", "application/octet-stream"), BINARY)}
FILES: dict[int | str, dict[str, Any]] = {
    200: AUDIO | {"description": "The whole file"},
    206: AUDIO | {"description": "The bytes that `Range` names"},
    304: {"description": "The client has it already"},
}


@router.head("/{track_id}/audio", include_in_schema=False)
@router.get("/{track_id}/audio", response_class=Response, responses=FILES | problems(404, 409, 416))
def get_audio(track_id: UUID, wanted: FileRequestDep, session: SessionDep) -> Response:
    """The file itself, as it lies in its library, whole or in part.

    409 `file_changed` if it is another one than was listed last, 404 `file_missing` if it is gone. Whether
    browsers play its format is `playable` of the track.
    """
    return answer_file(wanted, open_track(session, track_id))
