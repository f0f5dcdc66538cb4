"""Body of a `plan` unit: lists the tracks of a job page by page and cuts them into `analyse` units."""

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path, PurePosixPath
from uuid import UUID

from sqlalchemy.orm import Session

from core.db.tables import Job, Library, Model, Track
from core.errors import ItemError, LibraryFolderMissing, LibraryNotFound, Unreadable
from core.library.content import TAGS_VERSION
from core.library.scan import FoundFile, scan
from core.params import AnalysisParams
from core.queue import BATCH
from core.services.embeddings import find_embedded
from core.services.planning import PlannedItem, PlannedUnit, add_page, list_failed_tracks
from core.services.predictions import find_coverages, is_covered
from core.services.tracks import SeenFile, mark_missing, upsert_tracks
from core.services.workers import slots_by_queue
from core.states import ItemState
from workers.lease import Lease

PAGE = 1000  # files
MISSING_PAGE = 10_000  # tracks
MAX_PATH_BYTES = 2000  # a B-tree entry holds 2704
MAX_UNIT_ITEMS = 256
TARGET_UNIT_S = 45.0
SMALLEST_UNIT_S = 2.0
UNITS_PER_SLOT = 4  # of a small library, so that all slots have work until the end

# Guesses that only shape the units: a wrong one makes a unit longer or shorter, never wrong.
REALTIME_FACTOR = 70.0  # seconds of audio that one slot analyses in a second
BYTES_PER_S = {".wav": 176_400, ".wave": 176_400, ".aif": 176_400, ".aiff": 176_400, ".flac": 100_000}
COMPRESSED_BYTES_PER_S = 20_000
RELABEL_S = 0.001  # for a track whose embedding is known: nothing is opened


def plan_library(lease: Lease) -> None:
    """Runs until the last page is written; started again after a crash, it goes on where it stood."""
    params = AnalysisParams.model_validate(lease.claim.params)
    library = lease.transact(lambda session: session.get(Library, lease.claim.library_id))
    if library is None:
        raise LibraryNotFound
    if "retry_of" in lease.claim.payload:
        _plan_retry(lease, params, lease.claim.payload)
    else:
        _plan_files(lease, library, params, lease.claim.payload)


def _plan_files(lease: Lease, library: Library, params: AnalysisParams, cursor: dict[str, str]) -> None:
    with closing(scan(Path(library.path), params.path, cursor.get("after"))) as found:
        while files := _next_page(found, library):
            lease.check()
            cursor = lease.write(
                partial(_plan_page, lease=lease, library=library, params=params, files=files, cursor=cursor)
            )
    while lease.write(partial(_mark_missing, lease=lease, params=params)) == MISSING_PAGE:
        lease.check()


def _next_page(found: Iterator[FoundFile], library: Library) -> list[FoundFile]:
    try:
        return list(islice(found, PAGE))
    except ItemError as error:
        raise LibraryFolderMissing(f"The folder {library.path} cannot be listed.") from error


def _plan_page(
    session: Session,
    lease: Lease,
    library: Library,
    params: AnalysisParams,
    files: Sequence[FoundFile],
    cursor: dict[str, str],
) -> dict[str, str]:
    """Write the units of one page; the cursor of the next."""
    items = _known_outcomes(session, lease, library, params, files)
    units = _cut(session, items, [_work_s(file.path, file.size, params) for file in files])
    next_cursor = {"after": files[-1].path}
    add_page(session, lease.claim, units, cursor=cursor, next_cursor=next_cursor)
    return next_cursor


def _known_outcomes(
    session: Session, lease: Lease, library: Library, params: AnalysisParams, files: Sequence[FoundFile]
) -> list[PlannedItem]:
    """Tracks for the files; those unchanged since a fitting result was made are skipped without a look."""
    seen = [SeenFile(_storable(file.path), file.size, file.mtime_ns) for file in files]
    tracks = upsert_tracks(session, library.id, seen)
    hashes = [track.content_hash for track in tracks if track.content_hash and not params.force]
    model = session.get(Model, lease.claim.model_id) if hashes else None
    known = _Known(params)
    if model is not None:
        known = _Known(
            params,
            find_coverages(session, hashes, model.id),
            find_embedded(session, hashes, model, params.coverage),
        )
    return [_item(file, track, known) for file, track in zip(files, tracks, strict=True)]


def _storable(path: str) -> str:
    """A path that the index of tracks can hold: one that is too long is cut and told apart by its digest."""
    encoded = path.encode()
    if len(encoded) <= MAX_PATH_BYTES:
        return path
    return f"{encoded[: MAX_PATH_BYTES - 100].decode(errors='ignore')}… {sha256(encoded).hexdigest()}"


@dataclass(frozen=True)
class _Known:
    """What was found out earlier, by content hash."""

    params: AnalysisParams
    coverages: Mapping[bytes, str] = field(default_factory=dict)  # of results of the model itself
    embedded: Set[bytes] = frozenset()  # for which no file need be opened


def _item(file: FoundFile, track: Track, known: _Known) -> PlannedItem:
    error = file.error
    if error is None and track.path != file.path:
        error = Unreadable(f"The path is longer than {MAX_PATH_BYTES} bytes.")
    if error is not None:
        return PlannedItem(track.id, ItemState.FAILED, error_code=error.code, error_detail=error.detail)
    if track.tags_version < TAGS_VERSION:
        return PlannedItem(track.id)  # to read its tags; its audio may be known
    content = track.content_hash
    coverage = known.coverages.get(content) if content else None
    if coverage is not None and is_covered(coverage, known.params.coverage):
        return PlannedItem(track.id, ItemState.SKIPPED, content_hash=content)
    return PlannedItem(track.id, content_hash=content if content in known.embedded else None)


def _mark_missing(session: Session, lease: Lease, params: AnalysisParams) -> int:
    """After the last page. An empty listing is more likely an unmounted disk than an emptied library."""
    job = session.get_one(Job, lease.claim.job_id)
    return mark_missing(session, job, params.path, MISSING_PAGE) if job.total else 0


def _plan_retry(lease: Lease, params: AnalysisParams, cursor: dict[str, str]) -> None:
    """Plan the items that failed in an earlier job."""
    next_cursor: dict[str, str] | None = cursor
    while next_cursor is not None:
        lease.check()
        cursor = next_cursor
        next_cursor = lease.write(partial(_plan_retry_page, lease=lease, params=params, cursor=cursor))


def _plan_retry_page(
    session: Session, lease: Lease, params: AnalysisParams, cursor: dict[str, str]
) -> dict[str, str] | None:
    """Write the units of one page; the cursor of the next, None behind the last."""
    after = UUID(cursor["after"]) if "after" in cursor else None
    tracks = list_failed_tracks(session, UUID(cursor["retry_of"]), after, PAGE)
    if not tracks:
        return None
    items = [PlannedItem(track.id) for track in tracks]
    units = _cut(session, items, [_work_s(track.path, track.size, params) for track in tracks])
    next_cursor = cursor | {"after": str(tracks[-1].id)}
    add_page(session, lease.claim, units, cursor=cursor, next_cursor=next_cursor)
    return next_cursor


def _work_s(path: str, size: int, params: AnalysisParams) -> float:
    """How long one slot will roughly need for a file, in seconds."""
    audio_s = size / BYTES_PER_S.get(PurePosixPath(path).suffix.lower(), COMPRESSED_BYTES_PER_S)
    if not isinstance(params.coverage, str):
        audio_s = min(audio_s, params.coverage.windows * 3.0)
    return audio_s / REALTIME_FACTOR


def _cut(session: Session, items: Sequence[PlannedItem], work_s: Sequence[float]) -> list[PlannedUnit]:
    slots = slots_by_queue(session).get(BATCH, 2)
    target_s = min(TARGET_UNIT_S, max(SMALLEST_UNIT_S, sum(work_s) / (UNITS_PER_SLOT * slots)))
    return [PlannedUnit("analyse", BATCH, chunk) for chunk in cut_by_time(items, work_s, target_s)]


def cut_by_time(
    items: Sequence[PlannedItem], work_s: Sequence[float], target_s: float
) -> list[list[PlannedItem]]:
    """Chunks in order, each of about `target_s` seconds of work and at most MAX_UNIT_ITEMS items to open.

    Items whose outcome is known already cost nothing, and those that are relabelled next to nothing.
    """
    chunks: list[list[PlannedItem]] = [[]]
    filled_s, to_open = 0.0, 0
    for item, cost_s in zip(items, work_s, strict=True):
        opens = item.state is ItemState.PENDING and item.content_hash is None
        if not opens:
            cost_s = RELABEL_S if item.state is ItemState.PENDING else 0.0
        full = filled_s + cost_s > target_s or to_open + opens > MAX_UNIT_ITEMS
        if full and chunks[-1]:
            chunks.append([])
            filled_s, to_open = 0.0, 0
        chunks[-1].append(item)
        filled_s, to_open = filled_s + cost_s, to_open + opens
    return chunks
