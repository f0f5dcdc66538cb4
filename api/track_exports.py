"""The tracks of a query as CSV or as a playlist, page by page.

Every page is read in a short transaction of its own: a client may take an hour to read it all.
"""

from collections.abc import Iterator
from enum import StrEnum

from api import schemas, views
from api.exports import to_csv
from api.playlists import M3U_HEADER, m3u_entry
from core.output.spreadsheets import guard
from core.states import TrackOrder
from core.store.libraries import find_folders
from core.store.registry import resolve_model
from core.store.session import SessionFactory, transaction
from core.store.track_filters import TrackFilter
from core.store.track_pages import list_tracks

PAGE = 500
COLUMNS = ("track_id", "library", "path", "duration_s", "labels", "corrections", "model", "warnings")


class TrackExportFormat(StrEnum):
    CSV = "csv"
    M3U = "m3u"


TRACK_MEDIA_TYPES = {
    TrackExportFormat.CSV: "text/csv; charset=utf-8; header=present",
    TrackExportFormat.M3U: "audio/x-mpegurl; charset=utf-8",
}


def export(
    sessions: SessionFactory,
    model: str,
    wanted: TrackFilter,
    order: TrackOrder | None,
    form: TrackExportFormat,
) -> Iterator[str]:
    """The text of the whole export, in pieces; `model` as `name@version`."""
    pages = read_pages(sessions, model, wanted, order)
    if form is TrackExportFormat.CSV:
        return as_csv(pages)
    return as_m3u(sessions, pages)


def read_pages(
    sessions: SessionFactory, reference: str, wanted: TrackFilter, order: TrackOrder | None
) -> Iterator[list[schemas.Track]]:
    cursor: str | None = None
    while True:
        with transaction(sessions) as session:
            model = resolve_model(session, reference)
            page = list_tracks(session, model, wanted, order=order, cursor=cursor, limit=PAGE)
            tracks = [views.track(model, row, all_scores=False) for row in page.items]
        yield tracks
        cursor = page.next_cursor
        if cursor is None:
            return


def as_csv(pages: Iterator[list[schemas.Track]]) -> Iterator[str]:
    """RFC 4180."""
    yield to_csv([COLUMNS])
    for page in pages:
        yield to_csv(map(_csv_row, page))


def _csv_row(track: schemas.Track) -> tuple[object, ...]:
    said = track.prediction
    return (
        str(track.id),
        guard(track.library),
        guard(track.path),
        said.duration_s if said else None,
        guard("; ".join(f"{given.label}={given.score}" for given in track.labels)),
        guard("; ".join(f"{label}={verdict}" for label, verdict in track.corrections.items())),
        guard(said.model) if said else None,
        guard(" ".join(said.warnings)) if said else None,
    )


def as_m3u(sessions: SessionFactory, pages: Iterator[list[schemas.Track]]) -> Iterator[str]:
    """Extended M3U with the absolute paths of the files."""
    yield M3U_HEADER
    for page in pages:
        with transaction(sessions) as session:
            folders = find_folders(session, {track.library for track in page})
        # Without the tracks of a library that has been deleted since the page was read.
        yield "".join(m3u_entry(track, folders[track.library]) for track in page if track.library in folders)
