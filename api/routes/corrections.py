"""Corrections of many tracks, and all changes of corrections."""

from uuid import UUID

from api import schemas
from api.deps import READ, Cursor, IdPrefix, Limit, SessionDep, Writer
from api.routes import API, make_router, problems
from core.library.correction_files import read_rows
from core.services import corrections as service
from core.services.track_queries import filter_of
from core.store.correction_changes import ChangeRow, Written, list_changes, undo_change
from core.store.registry import resolve_model

router = make_router("corrections")
CSV_PATH = f"{API}/corrections/from-csv"
CSV_LIMIT = 25_000_000  # bytes of a request


@router.get("", dependencies=[READ])
def list_corrections(
    session: SessionDep, cursor: Cursor = None, limit: Limit = 100, id_prefix: IdPrefix = None
) -> schemas.Page[schemas.ListedChange]:
    """All changes of corrections, the newest first: what one request has written, on one track or on many."""
    page = list_changes(session, cursor, limit, id_prefix)
    items = [_listed(row) for row in page.items]
    return schemas.Page(items=items, next_cursor=page.next_cursor)


def _listed(row: ChangeRow) -> schemas.ListedChange:
    change = schemas.CorrectionChange.model_validate(row.change)
    return schemas.ListedChange(
        **dict(change),
        entries=row.entries,
        standing=row.standing,
        track_id=row.track and row.track.id,
        library=row.library,
        path=row.track and row.track.path,
    )


@router.post("", responses=problems(400, 404, 413))
def correct_tracks(
    body: schemas.BulkCorrectionRequest, session: SessionDep, caller: Writer
) -> schemas.BulkOutcome:
    """Correct labels of all tracks that a query matches, at most 100,000 tracks and 200,000 verdicts.

    `dry_run` only counts.
    """
    query = body.query
    done = service.correct_matching(
        session,
        resolve_model(session, query.model),
        filter_of(query),
        body.labels,
        author=caller.owner,
        note=body.note,
        allow_new=body.allow_new,
        dry_run=body.dry_run,
    )
    return schemas.BulkOutcome(tracks=done.tracks, not_analysed=done.not_analysed, **_outcome(done.written))


@router.post("/from-csv", responses=problems(400, 404, 413))
def import_csv(body: schemas.CSVImportRequest, session: SessionDep, caller: Writer) -> schemas.ImportOutcome:
    """Correct labels from a CSV file. A file that cannot be read as a whole changes nothing.

    Rows of unknown tracks or labels are left out, counted and listed.
    """
    done = service.import_rows(
        session,
        body.library,
        read_rows(body.csv),
        author=caller.owner,
        note=body.note,
        allow_new=body.allow_new,
        dry_run=body.dry_run,
    )
    return _import_outcome(done)


@router.post("/from-tags", responses=problems(400, 404, 413))
def import_tags(
    body: schemas.TagsImportRequest, session: SessionDep, caller: Writer
) -> schemas.ImportOutcome:
    """Take the genre tags of a library over as labels. What people have said already stays.

    At most 100,000 tracks and 200,000 verdicts.
    """
    done = service.import_tags(
        session,
        body.library,
        body.path.strip("/"),
        separators=body.separators,
        aliases=body.aliases,
        author=caller.owner,
        note=body.note,
        allow_new=body.allow_new,
        dry_run=body.dry_run,
    )
    return _import_outcome(done)


@router.post("/{change_id}/undo", responses=problems(404))
def undo_correction(change_id: UUID, session: SessionDep, caller: Writer) -> schemas.CorrectionOutcome:
    """Give every label of a change its verdict of before, unless somebody has changed it since.

    To undo again does nothing; the undo is a change itself, and can be undone.
    """
    return schemas.CorrectionOutcome(**_outcome(undo_change(session, change_id, caller.owner)))


def _import_outcome(done: service.Import) -> schemas.ImportOutcome:
    return schemas.ImportOutcome(
        rows=done.rows,
        left_out=done.counts,
        problems=[schemas.ImportProblem.model_validate(each, from_attributes=True) for each in done.problems],
        **_outcome(done.written),
    )


def _outcome(written: Written) -> dict[str, UUID | int | None]:
    return {"change": written.change_id, "changed": written.changed, "unchanged": written.unchanged}
