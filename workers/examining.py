"""Reads the hashes and tags of files before their audio is analysed."""

import logging
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from core.errors import ItemError, Unreadable, is_machine_fault
from core.jobs.items import WorkItem
from core.library.content import NOT_READ, TAGS_VERSION, file_hash, identity_without_audio
from core.library.paths import open_beneath
from core.ml.audio.sandbox import hash_audio, read_tags
from core.store.contents import KnownContent, find_known_files, move_results
from core.store.tracks import AnalysedFile
from workers.lease import Lease
from workers.recorder import Recorder

log = logging.getLogger(__name__)

Opened = tuple[tuple[WorkItem, AnalysedFile], BinaryIO]


@dataclass(frozen=True)
class _Hashed:
    """An open file, its hash, and its status when it was opened."""

    item: WorkItem
    file: BinaryIO
    file_hash: bytes
    status: os.stat_result


def open_group(
    lease: Lease, recorder: Recorder, root: Path, items: Sequence[WorkItem], *, force: bool
) -> deque[Opened]:
    """Open and examine a few files; those that fail are recorded.

    Stored results are reused for files whose bytes are known, except with `force`.
    """
    with ExitStack() as files:
        hashed = [each for item in items if (each := _hash(lease, recorder, root, item, files)) is not None]
        known = {} if force else _find_known(lease, hashed)
        opened: deque[Opened] = deque()
        for each in hashed:
            try:
                with _read_errors_as_unreadable():
                    content = known.get(each.file_hash) or examine(lease, each.file, each.file_hash)
            except ItemError as error:
                recorder.fail(each.item, error)
                each.file.close()
                continue
            opened.append(((each.item, _analysed(each, content)), each.file))
        rekey(lease, {found.file_hash: found.content_hash for (_, found), _ in opened})
        files.pop_all()
    return opened


def examine(lease: Lease, file: BinaryIO, whole: bytes) -> KnownContent:
    """The audio hash and the tags of an open file with the hash `whole`.

    If a helper failed at either, for example because the machine is busy, the next analysis tries again.
    """
    content = hash_audio(file, lease.record_step)
    reading = read_tags(file)
    if reading.error:
        log.warning("the tags of %.300r cannot all be read: %s", str(file.name), reading.error)
    is_final = content is not None and not reading.is_provisional
    return KnownContent(
        content or identity_without_audio(whole),
        reading.tags,
        reading.error,
        TAGS_VERSION if is_final else NOT_READ,
    )


def rekey(lease: Lease, contents: dict[bytes, bytes]) -> None:
    """Move results that an older version has stored under the file hash to the audio hash."""
    if contents:
        lease.transact(lambda session: move_results(session, contents))


def _hash(lease: Lease, recorder: Recorder, root: Path, item: WorkItem, files: ExitStack) -> _Hashed | None:
    try:
        file = files.enter_context(open_beneath(root, item.path))
    except ItemError as error:
        recorder.fail(item, error)
        return None
    try:
        with _read_errors_as_unreadable():
            status = os.fstat(file.fileno())
            return _Hashed(item, file, file_hash(file, lease.record_step), status)
    except ItemError as error:
        file.close()
        recorder.fail(item, error)
        return None


@contextmanager
def _read_errors_as_unreadable() -> Iterator[None]:
    """Turn read errors of a file into Unreadable, but raise faults of the machine unchanged."""
    try:
        yield
    except OSError as error:
        if is_machine_fault(error):
            raise
        raise Unreadable(f"The file cannot be read: {error.strerror}.") from error


def _find_known(lease: Lease, hashed: Sequence[_Hashed]) -> dict[bytes, KnownContent]:
    hashes = [each.file_hash for each in hashed]
    return lease.transact(lambda session: find_known_files(session, hashes)) if hashes else {}


def _analysed(each: _Hashed, content: KnownContent) -> AnalysedFile:
    return AnalysedFile(
        each.item.track_id,
        each.item.path,
        each.status.st_size,
        each.status.st_mtime_ns,
        content.content_hash,
        each.file_hash,
        content.tags,
        content.tags_error,
        content.tags_version,
    )
