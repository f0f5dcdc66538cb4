"""The results of a job as JSON, JSON lines or CSV, page by page.

Every page is read in a short transaction of its own: a client may take an hour to read it all.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from api import schemas, views
from core.errors import ModelNotFound
from core.jobs.items import list_items
from core.jobs.jobs import get_job
from core.output.spreadsheets import guard
from core.services.analysis import check_library
from core.services.results import BEFORE_ALL, ResultRow, list_results
from core.states import ItemState
from core.store.session import SessionFactory, transaction
from core.store.similarity import SimilarTrack, nearest_of_each
from core.store.tables import Job, Model

PAGE = 500
SIMILAR_PAGE = 100  # tracks whose neighbours are looked up in one statement: some milliseconds each


class ExportFormat(StrEnum):
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


MEDIA_TYPES = {
    ExportFormat.JSON: "application/json",
    ExportFormat.JSONL: "application/x-ndjson",
    ExportFormat.CSV: "text/csv; charset=utf-8; header=present",
}


CSV: dict[int | str, dict[str, Any]] = {
    200: {"description": "CSV", "content": {"text/csv": {"schema": {"type": "string"}}}}
}


def expect_results(session: Session, job: Job) -> Model:
    """The model that labelled a job's tracks; raises NotFound when it or the library has been deleted."""
    check_library(session, job)
    model = None
    if job.model_id is not None:
        model = session.get(Model, job.model_id, populate_existing=True)
    if model is None:
        raise ModelNotFound("The model of this job has been deleted, and its results with it.")
    return model


def export(
    sessions: SessionFactory,
    job: Job,
    model: Model,
    form: ExportFormat,
    *,
    all_scores: bool,
    similar: int = 0,
    only_with_warnings: bool = False,
) -> Iterator[str]:
    """The text of the whole export, in pieces; every row with its `similar` nearest tracks."""
    pages = read_pages(
        sessions, job, model, all_scores=all_scores, similar=similar, only_with_warnings=only_with_warnings
    )
    if form is ExportFormat.CSV:
        return as_csv(pages, model.labels if all_scores else [], with_similar=similar > 0)
    return as_json(pages) if form is ExportFormat.JSON else as_json_lines(pages)


def read_pages(
    sessions: SessionFactory,
    job: Job,
    model: Model,
    *,
    all_scores: bool,
    similar: int = 0,
    only_with_warnings: bool = False,
) -> Iterator[list[schemas.Result]]:
    after, size = BEFORE_ALL, SIMILAR_PAGE if similar else PAGE
    while True:
        with transaction(sessions) as session:
            rows = list_results(session, job, after, size, only_with_warnings=only_with_warnings)
            near = _find_similar(session, job, model, [row for _, row in rows], similar)
            # Behind the read: what is there now was whole then. Otherwise better no end than a false one.
            expect_results(session, get_job(session, job.id))
        if rows:
            after = rows[-1][0]
            yield [
                views.result(
                    model,
                    row,
                    all_scores=all_scores,
                    near=near.get(row.track_id),
                )
                for _, row in rows
            ]
        if len(rows) < size:
            return


def _find_similar(
    session: Session, job: Job, model: Model, rows: Sequence[ResultRow], similar: int
) -> dict[UUID, list[SimilarTrack]]:
    """The nearest tracks of the job's library for every row; nothing when they are not asked for."""
    if not similar:
        return {}
    track_ids = [row.track_id for row in rows]
    found = nearest_of_each(session, track_ids, model, job.library_id, similar) if job.library_id else {}
    return {track_id: found.get(track_id, []) for track_id in track_ids}


def as_json(pages: Iterator[list[schemas.Result]]) -> Iterator[str]:
    separator = "["
    for page in pages:
        yield separator + ",\n".join(map(_to_json, page))
        separator = ",\n"
    yield "]\n" if separator != "[" else "[]\n"


def as_json_lines(pages: Iterator[list[schemas.Result]]) -> Iterator[str]:
    for page in pages:
        yield "".join(_to_json(result) + "\n" for result in page)


def _to_json(result: schemas.Result) -> str:
    return json.dumps(result.model_dump(mode="json", exclude_none=True), ensure_ascii=False)


def as_csv(
    pages: Iterator[list[schemas.Result]], labels: list[str], *, with_similar: bool = False
) -> Iterator[str]:
    """RFC 4180, with a column per label of `labels` behind the others."""
    similar = ["similar"] if with_similar else []
    fixed = ["track_id", "path", "duration_s", "labels", "model", "warnings", "corrections"]
    yield to_csv([[*fixed, *similar, *map(guard, labels)]])
    for page in pages:
        yield to_csv(
            [
                str(result.track_id),
                guard(result.path),
                result.duration_s,
                guard("; ".join(f"{given.label}={given.score}" for given in result.labels)),
                guard(result.model),
                guard(" ".join(result.warnings)),
                guard("; ".join(f"{label}={verdict}" for label, verdict in result.corrections.items())),
                *([_similar_cell(result)] if with_similar else []),
                *((result.scores or {}).get(label) for label in labels),
            ]
            for result in page
        )


def _similar_cell(result: schemas.Result) -> str:
    return guard("; ".join(f"{near.path}={near.similarity:.4f}" for near in result.similar or ()))


def to_csv(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def export_failed_items(sessions: SessionFactory, job_id: UUID, code: str | None) -> Iterator[str]:
    """The failed items of a job as CSV, page by page; with `code` only those of one reason."""
    yield to_csv([("path", "code", "detail")])
    cursor: str | None = None
    while True:
        with transaction(sessions) as session:
            page = list_items(session, job_id, ItemState.FAILED, cursor, PAGE, code)
        yield to_csv(
            (guard(row.path), row.error_code or "", guard(row.error_detail or "")) for row in page.items
        )
        cursor = page.next_cursor
        if cursor is None:
            return
