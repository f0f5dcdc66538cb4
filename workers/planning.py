"""Body of a `plan` unit: lists the tracks of a job in pages and divides them into `analyse` units."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from core.config.params import AnalysisParams
from core.errors import ItemError, LibraryFolderMissing, LibraryNotFound, Unreadable
from core.jobs.workers import slots_by_queue
from core.library.content import TAGS_VERSION
from core.library.left_out import as_text
from core.library.paths import find_beneath
from core.library.scan import Entry, FoundFile, LeftOut, scan, scan_again
from core.services.analysis import ANALYSE, find_tracks
from core.services.planning import (
    PlannedItem,
    PlannedUnit,
    UnfinishedItem,
    add_page,
    find_finished,
    list_unfinished_items,
)
from core.states import ItemState
from core.store.embeddings import find_embedded
from core.store.findings import add_warning, count_missing, findings_of
from core.store.predictions import find_coverages, is_covered
from core.store.tables import Job, Library, Model, Track
from core.store.tracks import SeenFile, count_met, count_not_met, mark_missing, upsert_tracks
from workers.lease import Lease

log = logging.getLogger(__name__)

PAGE = 1000  # entries, including those left out
MISSING_PAGE = 10_000  # tracks
SUSPICIOUS_LOSS = 10  # ratio of missing to found tracks
MAX_PATH_BYTES = 2000  # a B-tree entry holds 2704
MAX_UNIT_ITEMS = 256
TARGET_UNIT_S = 45.0
SMALLEST_UNIT_S = 2.0
UNITS_PER_SLOT = 4  # at least, so that the load of a small library is balanced

# Estimates for the size of units; errors only make units longer or shorter.
REALTIME_FACTOR = 70.0  # seconds of audio analysed per second by one slot
BYTES_PER_S = (
    dict.fromkeys((".wav", ".wave", ".bwf", ".rf64", ".w64", ".rifx", ".aif", ".aiff", ".aifc"), 176_400)
    | dict.fromkeys((".au", ".snd", ".caf"), 176_400)
    | dict.fromkeys((".flac", ".fla", ".wv", ".tta", ".ape"), 100_000)
    | dict.fromkeys((".dsf", ".dff"), 705_600)
)
COMPRESSED_BYTES_PER_S = 20_000
WINDOW_S = 3.0 / REALTIME_FACTOR
RELABEL_S = 0.001  # per track with a stored embedding


def plan_library(lease: Lease) -> None:
    """Plan all pages. After a crash, it resumes at the cursor of the unit."""
    params = AnalysisParams.model_validate(lease.claim.params)
    library = lease.transact(lambda session: session.get(Library, lease.claim.library_id))
    if library is None:
        raise LibraryNotFound
    if "retry_of" in lease.claim.payload:
        _plan_retry(lease, library, params, lease.claim.payload)
    elif params.query is not None:
        _plan_query(lease, library, params, params.query, lease.claim.payload)
    else:
        _plan_files(lease, library, params, lease.claim.payload)
    found = lease.transact(lambda session: findings_of(session.get_one(Job, lease.claim.job_id)))
    if found is not None and found.left_out:
        log.info("job %s: left out: %s", lease.claim.job_id, as_text(found.left_out))


def _plan_query(
    lease: Lease, library: Library, params: AnalysisParams, query: str, cursor: dict[str, Any]
) -> None:
    """Plan the tracks that a query finds, in the order of their ids: none twice, whatever changes."""
    while tracks := _next_tracks(lease, library, query, cursor):
        lease.check()
        next_cursor = cursor | {"track": str(tracks[-1].id)}
        write = partial(_plan_tracks, lease=lease, params=params, tracks=tracks)
        lease.write(partial(write, cursor=cursor, next_cursor=next_cursor))
        cursor = next_cursor
    lease.write(lambda session: count_missing(session, lease.claim.job_id, 0))


def _next_tracks(lease: Lease, library: Library, query: str, cursor: dict[str, Any]) -> Sequence[Track]:
    after = UUID(cursor["track"]) if "track" in cursor else None
    return lease.transact(lambda session: find_tracks(session, library.id, query, after, PAGE))


def _plan_tracks(
    session: Session,
    lease: Lease,
    params: AnalysisParams,
    tracks: Sequence[Track],
    cursor: dict[str, Any],
    next_cursor: dict[str, Any],
) -> None:
    """Write the units of one page of tracks that are known."""
    items = _outcomes(session, lease, params, tracks, _continued(cursor))
    units = _units(session, items, [_work_s(track.path, track.size, params) for track in tracks])
    add_page(session, lease.claim, units, cursor=cursor, next_cursor=next_cursor)


def _plan_files(lease: Lease, library: Library, params: AnalysisParams, cursor: dict[str, Any]) -> None:
    root = Path(library.path)
    try:
        under = find_beneath(root, params.path)
        with closing(scan(root, under, cursor.get("after"))) as found:
            while entries := list(islice(found, PAGE)):
                next_cursor = cursor | {"after": entries[-1].path}
                _write_page(lease, library, params, entries, cursor, next_cursor)
                cursor = next_cursor
        is_empty = _is_empty(root, under)
    except ItemError as error:
        raise LibraryFolderMissing(f"The folder {root / params.path} cannot be listed.") from error
    if params.confirm_empty or not lease.write(
        partial(_warn_of_loss, lease=lease, under=under, is_empty=is_empty)
    ):
        _mark_all_missing(lease, under)


def _write_page(
    lease: Lease,
    library: Library,
    params: AnalysisParams,
    entries: Sequence[Entry],
    cursor: dict[str, Any],
    next_cursor: dict[str, Any],
) -> None:
    """Write the units of one page of a listing, and the counts of entries left out."""
    files = [entry for entry in entries if isinstance(entry, FoundFile)]
    left_out = Counter(entry.reason for entry in entries if isinstance(entry, LeftOut))

    def write(session: Session) -> None:
        items = _known_outcomes(session, lease, library, params, files, _continued(cursor))
        units = _units(session, items, [_work_s(file.path, file.size, params) for file in files])
        add_page(session, lease.claim, units, cursor=cursor, next_cursor=next_cursor, left_out=left_out)

    lease.check()
    lease.write(write)


def _known_outcomes(
    session: Session,
    lease: Lease,
    library: Library,
    params: AnalysisParams,
    files: Sequence[FoundFile],
    continued: Sequence[UUID],
) -> list[PlannedItem]:
    """Items for the files. Unchanged files with a sufficient result are skipped without opening them.

    So are those that one of the `continued` jobs has labelled. Entries that are not tracks become failed
    items with their path.
    """
    errors = [_error_of(file) for file in files]
    seen = [
        SeenFile(file.path, file.size, file.mtime_ns)
        for file, error in zip(files, errors, strict=True)
        if error is None
    ]
    items = iter(_outcomes(session, lease, params, upsert_tracks(session, library.id, seen), continued))
    return [
        next(items) if error is None else _failed_item(file.path, error)
        for file, error in zip(files, errors, strict=True)
    ]


def _outcomes(
    session: Session,
    lease: Lease,
    params: AnalysisParams,
    tracks: Sequence[Track],
    continued: Sequence[UUID],
) -> list[PlannedItem]:
    """Items for tracks as they are known."""
    hashes = [track.content_hash for track in tracks if track.content_hash and not params.force]
    model = session.get(Model, lease.claim.model_id) if hashes else None
    finished = find_finished(session, continued, [track.id for track in tracks])
    stored = _StoredResults(params, finished)
    if model is not None:
        stored = _StoredResults(
            params,
            finished,
            find_coverages(session, hashes, model.id),
            find_embedded(session, hashes, model, params.coverage),
        )
    return [_item(track, stored) for track in tracks]


def _error_of(file: FoundFile) -> ItemError | None:
    """Why a file is not a track; None if it is one."""
    if file.error is None and len(file.path.encode()) > MAX_PATH_BYTES:
        return Unreadable(f"The path is longer than {MAX_PATH_BYTES} bytes.")
    return file.error


def _failed_item(path: str, error: ItemError) -> PlannedItem:
    return PlannedItem(None, ItemState.FAILED, error_code=error.code, error_detail=error.detail, path=path)


@dataclass(frozen=True)
class _StoredResults:
    """Stored results by content hash."""

    params: AnalysisParams
    finished: Mapping[UUID, bytes]  # tracks that the continued jobs have labelled, with their audio
    coverages: Mapping[bytes, str] = field(default_factory=dict)  # of the model's own results
    embedded: Set[bytes] = frozenset()  # audio with a stored embedding that the model can use


def _item(track: Track, stored: _StoredResults) -> PlannedItem:
    if track.tags_version < TAGS_VERSION:
        return PlannedItem(track.id)  # its tags must be read
    content = track.content_hash
    if track.id in stored.finished:
        return PlannedItem(track.id, ItemState.SKIPPED, content_hash=content)
    coverage = stored.coverages.get(content) if content else None
    if coverage is not None and is_covered(coverage, stored.params.coverage):
        return PlannedItem(track.id, ItemState.SKIPPED, content_hash=content)
    return PlannedItem(track.id, content_hash=content if content in stored.embedded else None)


def _is_empty(root: Path, under: str) -> bool:
    """Whether a listed folder is empty now, which suggests that its disk was unmounted."""
    with closing(scan(root, under)) as found:
        return next(found, None) is None


def _warn_of_loss(session: Session, lease: Lease, under: str, is_empty: bool) -> bool:
    """Warn if nearly every track of a folder is gone, which suggests that its disk is not mounted.

    Returns whether it has warned; then no track may be marked as missing. Moved and renamed files are found
    under other paths, so they do not cause a warning.
    """
    job = session.get_one(Job, lease.claim.job_id)
    met = 0 if is_empty else count_met(session, job, under)
    gone = count_not_met(session, job, under, MISSING_PAGE)
    if not gone or gone < SUSPICIOUS_LOSS * met:
        return False
    found = f"Only {met} tracks were" if met else "No track was"
    sentence = (
        f"{found} found in this folder, but {gone} known tracks are not there: nothing was marked as "
        "missing. If they are gone for good, submit again with confirm_empty (--confirm-empty)."
    )
    log.warning("job %s: %s", job.id, sentence)
    add_warning(session, job.id, sentence)
    return True


def _mark_all_missing(lease: Lease, under: str) -> None:
    """Mark missing tracks after the last page. After a crash, it continues with those not yet marked."""
    after: str | None = None

    def write(session: Session) -> str | None:
        job = session.get_one(Job, lease.claim.job_id)
        marked, last = mark_missing(session, job, under, after, MISSING_PAGE)
        count_missing(session, job.id, marked)
        return last

    while (after := lease.write(write)) is not None:
        lease.check()


def _plan_retry(lease: Lease, library: Library, params: AnalysisParams, cursor: dict[str, Any]) -> None:
    """Plan the unfinished items of an earlier job: first its tracks, then the paths that were not tracks.

    The cursor of the second pass has the key `pass`.
    """
    while "pass" not in cursor and (unfinished := _next_unfinished(lease, cursor)):
        lease.check()
        next_cursor = _after_item(unfinished[-1], cursor)
        write = partial(_plan_again, lease=lease, params=params, unfinished=unfinished)
        lease.write(partial(write, cursor=cursor, next_cursor=next_cursor))
        cursor = next_cursor
    place = cursor if "pass" in cursor else _without_position(cursor) | {"pass": "paths"}
    while unfinished := _next_unfinished(lease, place):
        entries, place = _page_again(Path(library.path), unfinished, place)
        _write_page(lease, library, params, entries, cursor, place)
        cursor = place
    lease.write(lambda session: count_missing(session, lease.claim.job_id, 0))


def _next_unfinished(lease: Lease, cursor: dict[str, Any]) -> list[UnfinishedItem]:
    """The next unfinished items of the pass that the cursor is in."""
    retried, are_tracks = UUID(cursor["retry_of"]), "pass" not in cursor
    after = (int(cursor["unit"]), int(cursor["pos"])) if "unit" in cursor else None
    code = cursor.get("code")
    return lease.transact(
        lambda session: list_unfinished_items(session, retried, after, PAGE, are_tracks, code)
    )


def _after_item(item: UnfinishedItem, cursor: dict[str, Any]) -> dict[str, Any]:
    return _without_position(cursor) | {"unit": str(item.unit_id), "pos": str(item.pos)}


def _without_position(cursor: dict[str, Any]) -> dict[str, Any]:
    return {key: cursor[key] for key in ("retry_of", "code", "continues", "pass") if key in cursor}


def _continued(cursor: dict[str, Any]) -> list[UUID]:
    """The jobs whose work is not to be repeated."""
    return [UUID(job_id) for job_id in cursor.get("continues", ())]


def _page_again(
    root: Path, unfinished: Sequence[UnfinishedItem], cursor: dict[str, Any]
) -> tuple[list[Entry], dict[str, str]]:
    """A page of the current entries at the paths of unfinished items, and the next cursor.

    A cursor within a folder names the previous item, and the last path in `after`.
    """
    entries: list[Entry] = []
    before, after = {key: cursor[key] for key in cursor if key != "after"}, cursor.get("after")
    for item in unfinished:
        with closing(scan_again(root, item.path, after)) as found:
            entries += islice(found, PAGE - len(entries))
        if len(entries) == PAGE:
            return entries, before | {"after": entries[-1].path}
        before, after = _after_item(item, cursor), None
    return entries, before


def _plan_again(
    session: Session,
    lease: Lease,
    params: AnalysisParams,
    unfinished: Sequence[UnfinishedItem],
    cursor: dict[str, Any],
    next_cursor: dict[str, Any],
) -> None:
    """Write the units of one page of tracks."""
    tracks = [item.track_id for item in unfinished if item.track_id is not None]
    finished = find_finished(session, _continued(cursor), tracks)
    items = [_item_again(item, finished) for item in unfinished]
    units = _units(session, items, [_work_s(item.path, item.size, params) for item in unfinished])
    add_page(session, lease.claim, units, cursor=cursor, next_cursor=next_cursor)


def _item_again(item: UnfinishedItem, finished: Mapping[UUID, bytes]) -> PlannedItem:
    if item.track_id is not None and (content := finished.get(item.track_id)) is not None:
        return PlannedItem(item.track_id, ItemState.SKIPPED, content_hash=content)
    return PlannedItem(item.track_id, content_hash=item.content_hash)


def _work_s(path: str, size: int, params: AnalysisParams) -> float:
    """Estimated seconds that one slot needs for a file."""
    work_s = whole_track_s(path, size)
    return work_s if isinstance(params.coverage, str) else min(work_s, params.coverage.windows * WINDOW_S)


def whole_track_s(path: str, size: int) -> float:
    """Estimated seconds that one slot needs for all of a file of `size` bytes."""
    audio_s = size / BYTES_PER_S.get(PurePosixPath(path).suffix.lower(), COMPRESSED_BYTES_PER_S)
    return audio_s / REALTIME_FACTOR


def _units(session: Session, items: Sequence[PlannedItem], work_s: Sequence[float]) -> list[PlannedUnit]:
    return [PlannedUnit(ANALYSE, chunk) for chunk in cut(session, items, work_s)]


def cut(session: Session, items: Sequence[PlannedItem], work_s: Sequence[float]) -> list[list[PlannedItem]]:
    """Divide items among the batch workers."""
    if not items:
        return []
    slots = slots_by_queue(session).get(ANALYSE.queue, 2)
    target_s = min(TARGET_UNIT_S, max(SMALLEST_UNIT_S, sum(work_s) / (UNITS_PER_SLOT * slots)))
    return cut_by_time(items, work_s, target_s)


def cut_by_time(
    items: Sequence[PlannedItem], work_s: Sequence[float], target_s: float
) -> list[list[PlannedItem]]:
    """Divide items into chunks of about `target_s` seconds of work and at most MAX_UNIT_ITEMS files to open.

    Items with an outcome cost nothing, and those to be relabelled almost nothing.
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
