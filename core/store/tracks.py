"""Tracks of a library: the files that were found, and their predictions."""

from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, case, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.errors import TrackNotFound, Unreadable
from core.library.content import NOT_READ, TAGS_VERSION
from core.states import ItemState
from core.store.corrections import Corrections, as_corrections, corrections_of
from core.store.tables import Job, JobItem, Library, Model, Prediction, Track


@dataclass(frozen=True)
class SeenFile:
    """A file as a scan found it."""

    path: str  # relative to the library, with forward slashes
    size: int  # bytes
    mtime_ns: int


@dataclass(frozen=True)
class AnalysedFile:
    """A file as it was when it was opened for analysis."""

    track_id: UUID | None  # None: a file of no library
    path: str  # relative to the library
    size: int
    mtime_ns: int
    content_hash: bytes  # of its audio
    file_hash: bytes
    tags: dict[str, Any]
    tags_error: str | None = None
    tags_version: int = TAGS_VERSION


@dataclass(frozen=True)
class TrackRow:
    """A track with the prediction of one model, None if that model has not analysed it yet."""

    track: Track
    library: str
    prediction: Prediction | None
    corrections: Corrections


def upsert_tracks(session: Session, library_id: UUID, files: Sequence[SeenFile]) -> list[Track]:
    """Insert or update the tracks of one page of a scan; returns them in the order of the files.

    Hashes and tags are kept only while size and modification time stay the same.
    """
    if not files:
        return []
    rows = [
        {"library_id": library_id, "path": file.path, "size": file.size, "mtime_ns": file.mtime_ns}
        # Two names that are not UTF-8 may be escaped alike, and a statement can upsert a path only once.
        for file in {file.path: file for file in files}.values()
    ]
    statement = insert(Track).values(rows)
    new = statement.excluded
    unchanged = (Track.size == new.size) & (Track.mtime_ns == new.mtime_ns)
    upserted = session.scalars(
        statement.on_conflict_do_update(
            index_elements=[Track.library_id, Track.path],
            set_={
                "content_hash": case((unchanged, Track.content_hash)),
                "file_hash": case((unchanged, Track.file_hash)),
                "tags": case((unchanged, Track.tags)),
                "tags_error": case((unchanged, Track.tags_error)),
                "tags_version": case((unchanged, Track.tags_version), else_=NOT_READ),
                "size": new.size,
                "mtime_ns": new.mtime_ns,
                "seen_at": func.now(),
                "missing_at": None,
            },
        ).returning(Track),
        execution_options={"populate_existing": True},
    )
    by_path = {track.path: track for track in upserted}
    return [by_path[file.path] for file in files]


def mark_missing(
    session: Session, job: Job, under: str, after: str | None, limit: int
) -> tuple[int, str | None]:
    """Mark the tracks that the scan of a job did not find, among the next `limit` after the path `after`.

    The scan must be complete. Returns the number of marked tracks and the next cursor, None at the end.
    Their results are kept, because a file may come back. Tracks in a folder that could not be listed are not
    marked.
    """
    gone, last = _not_met(session, job, under, _unlisted_paths(session, job), after, limit)
    if gone:
        session.execute(update(Track).where(Track.id.in_(gone)).values(missing_at=func.now()))
    return len(gone), last


def count_not_met(session: Session, job: Job, under: str, limit: int) -> int:
    """Number of tracks that `mark_missing` would mark in total, read in pages of `limit`."""
    unlisted = _unlisted_paths(session, job)
    count, last = 0, None
    while True:
        gone, last = _not_met(session, job, under, unlisted, last, limit)
        count += len(gone)
        if last is None:
            return count


def count_met(session: Session, job: Job, under: str) -> int:
    """Number of tracks of a folder that the scan of a job has found, including new ones."""
    met = select(func.count()).where(*_in_folder(job, under), Track.seen_at >= job.started_at)
    return session.scalar(met) or 0


def _in_folder(job: Job, under: str) -> tuple[ColumnElement[bool], ...]:
    return (
        Track.library_id == job.library_id,
        Track.path.startswith(f"{under}/" if under else "", autoescape=True),
    )


def _not_met(
    session: Session, job: Job, under: str, unlisted: Set[str], after: str | None, limit: int
) -> tuple[list[UUID], str | None]:
    """Ids of tracks that were not found, among the next `limit` after `after`, and the next cursor or None.

    Each path is compared only with its own parents, as there may be many tracks and many unlisted folders.
    """
    query = (
        select(Track.id, Track.path)
        .where(*_in_folder(job, under), Track.seen_at < job.started_at, Track.missing_at.is_(None))
        .order_by(Track.path)
        .limit(limit)
    )
    rows = session.execute(query if after is None else query.where(Track.path > after)).all()
    gone = [track_id for track_id, path in rows if unlisted.isdisjoint(_with_parents(path))]
    return gone, rows[-1].path if len(rows) == limit else None


def _with_parents(path: str) -> list[str]:
    return [path, *(path[:place] for place, character in enumerate(path) if character == "/")]


def _unlisted_paths(session: Session, job: Job) -> set[str]:
    """Paths of folders and files that a scan could not access."""
    query = select(JobItem.path).where(
        JobItem.job_id == job.id,
        JobItem.state == ItemState.FAILED,
        JobItem.error_code == Unreadable().code,
        JobItem.path.is_not(None),
    )
    return {path for path in session.scalars(query) if path is not None}


def save_analysed(session: Session, files: Sequence[AnalysedFile]) -> None:
    """Write hashes, tags and status of tracks that were opened for analysis."""
    tracks = [file for file in files if file.track_id is not None]
    if tracks:
        session.execute(
            update(Track),
            [
                {
                    "id": file.track_id,
                    "size": file.size,
                    "mtime_ns": file.mtime_ns,
                    "content_hash": file.content_hash,
                    "file_hash": file.file_hash,
                    "tags": file.tags,
                    "tags_error": file.tags_error,
                    "tags_version": file.tags_version,
                }
                # In the order of a scan, so that a concurrent scan of the library does not deadlock.
                for file in sorted(tracks, key=lambda file: file.path.split("/"))
            ],
        )


def get_located_track(session: Session, track_id: UUID) -> tuple[Track, str]:
    """A track, and the folder of its library. Raises TrackNotFound."""
    query = select(Track, Library.path).join(Library, Library.id == Track.library_id)
    row = session.execute(query.where(Track.id == track_id)).one_or_none()
    if row is None:
        raise TrackNotFound
    track, root = row
    return track, root


def get_track(session: Session, track_id: UUID, model: Model) -> TrackRow:
    row = session.execute(tracks_with(model).where(Track.id == track_id)).one_or_none()
    if row is None:
        raise TrackNotFound
    return track_row(*row)


def get_tracks(session: Session, track_ids: Collection[UUID], model: Model) -> dict[UUID, TrackRow]:
    """Those of these tracks that exist, by id."""
    rows = session.execute(tracks_with(model).where(Track.id.in_(track_ids)))
    return {row.track.id: row for row in (track_row(*row) for row in rows)}


def tracks_with(model: Model) -> Select[*tuple[Any, ...]]:
    """A query for what `track_row` takes."""
    of_model = (Prediction.content_hash == Track.content_hash) & (Prediction.model_id == model.id)
    return (
        select(Track, Library.name, Prediction, corrections_of(Track.content_hash))
        .join(Library, Library.id == Track.library_id)
        .outerjoin(Prediction, of_model)
    )


def track_row(
    track: Track, library: str, prediction: Prediction | None, corrections: dict[str, str] | None
) -> TrackRow:
    return TrackRow(track, library, prediction, as_corrections(corrections))


def list_tags(session: Session, library: Library, folder: str) -> list[tuple[str, dict[str, Any] | None]]:
    """Path and tags of every present track in a folder of a library; the tags are None until analysed."""
    query = select(Track.path, Track.tags).where(*_present(library, folder)).order_by(Track.path)
    return [(path, tags) for path, tags in session.execute(query)]


def list_contents(session: Session, library: Library) -> dict[str, bytes]:
    """Path and content hash of every present track of a library whose audio is known."""
    query = select(Track.path, Track.content_hash).where(
        Track.library_id == library.id, Track.missing_at.is_(None), Track.content_hash.is_not(None)
    )
    return {path: content for path, content in session.execute(query) if content is not None}


def list_sizes(session: Session, library: Library) -> dict[str, tuple[UUID, int]]:
    """Path of every present track of a library, with its id and size in bytes."""
    query = select(Track.path, Track.id, Track.size)
    of_library = query.where(Track.library_id == library.id, Track.missing_at.is_(None))
    return {path: (track_id, size) for path, track_id, size in session.execute(of_library)}


def has_tracks(session: Session, library: Library, folder: str) -> bool:
    """Whether a folder of a library has a present track."""
    query = select(Track.id).where(*_present(library, folder)).limit(1)
    return session.scalar(query) is not None


def _present(library: Library, folder: str) -> tuple[ColumnElement[bool], ...]:
    return (
        Track.library_id == library.id,
        Track.path.startswith(f"{folder}/" if folder else "", autoescape=True),
        Track.missing_at.is_(None),
    )
