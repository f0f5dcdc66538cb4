"""The file of a track, opened below the folder of its library."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from sqlalchemy.orm import Session

from core.errors import (
    Disappeared,
    FileChanged,
    FileInaccessible,
    FileMissing,
    ItemError,
    Unavailable,
    Unreadable,
)
from core.library.magic import HEAD_BYTES
from core.library.media_types import media_type
from core.library.paths import open_beneath
from core.store.tracks import get_located_track


@dataclass(frozen=True)
class TrackFile:
    """An open file whose bytes are those that were listed; whoever has it closes it."""

    file: BinaryIO
    size: int  # bytes
    mtime_ns: int
    media_type: str
    version: str  # names these bytes: the SHA-256 of the file or, before it is analysed, its size and time


def open_track(session: Session, track_id: UUID) -> TrackFile:
    """Open the file of a track, if it is the one that was listed or analysed last.

    Raises TrackNotFound, FileMissing, FileChanged, FileInaccessible, or Unavailable for a disk that does not
    answer.
    """
    track, root = get_located_track(session, track_id)
    file = _open(Path(root), track.path)
    try:
        status = os.fstat(file.fileno())
        if (status.st_size, status.st_mtime_ns) != (track.size, track.mtime_ns):
            raise FileChanged
        digest = track.file_hash
        return TrackFile(
            file,
            status.st_size,
            status.st_mtime_ns,
            media_type(track.path, os.pread(file.fileno(), HEAD_BYTES, 0)),
            digest.hex() if digest else f"{status.st_mtime_ns:x}-{status.st_size:x}",
        )
    except OSError as error:
        file.close()
        raise Unavailable(f"The file cannot be read: {error.strerror}.") from error
    except BaseException:
        file.close()
        raise


def _open(root: Path, path: str) -> BinaryIO:
    try:
        return open_beneath(root, path)
    except Disappeared as error:
        raise FileMissing from error
    except Unreadable as error:
        raise FileInaccessible from error
    except ItemError as error:
        raise FileInaccessible(error.detail) from error
    except OSError as error:
        raise Unavailable(f"The file cannot be opened: {error.strerror}.") from error
