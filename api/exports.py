"""The results of a job as JSON, JSON lines or CSV, page by page.

Every page is read in a short transaction of its own: a client may take an hour to read it all.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from enum import StrEnum

from api import views
from api.schemas import Result
from core.db.session import SessionFactory, transaction
from core.db.tables import Job, Model
from core.services.items import BEFORE_ALL, list_results

PAGE = 500
# A spreadsheet takes a cell that starts with one of these for a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


class Format(StrEnum):
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


MEDIA_TYPES = {
    Format.JSON: "application/json",
    Format.JSONL: "application/x-ndjson",
    Format.CSV: "text/csv; charset=utf-8; header=present",
}


def export(
    sessions: SessionFactory,
    job: Job,
    model: Model,
    form: Format,
    *,
    all_scores: bool,
    only_with_warnings: bool,
) -> Iterator[str]:
    """The text of the whole export, in pieces."""
    pages = read_pages(sessions, job, model, all_scores=all_scores, only_with_warnings=only_with_warnings)
    if form is Format.CSV:
        return as_csv(pages, model.labels if all_scores else [])
    return as_json(pages) if form is Format.JSON else as_json_lines(pages)


def read_pages(
    sessions: SessionFactory, job: Job, model: Model, *, all_scores: bool, only_with_warnings: bool
) -> Iterator[list[Result]]:
    after = BEFORE_ALL
    while True:
        with transaction(sessions) as session:
            rows = list_results(session, job, after, PAGE, only_with_warnings=only_with_warnings)
        if rows:
            after = rows[-1][0]
            yield [views.result(model, row, all_scores=all_scores) for _, row in rows]
        if len(rows) < PAGE:
            return


def as_json(pages: Iterator[list[Result]]) -> Iterator[str]:
    separator = "["
    for page in pages:
        yield separator + ",\n".join(map(_to_json, page))
        separator = ",\n"
    yield "]\n" if separator != "[" else "[]\n"


def as_json_lines(pages: Iterator[list[Result]]) -> Iterator[str]:
    for page in pages:
        yield "".join(_to_json(result) + "\n" for result in page)


def _to_json(result: Result) -> str:
    return json.dumps(result.model_dump(mode="json", exclude_none=True), ensure_ascii=False)


def as_csv(pages: Iterator[list[Result]], labels: list[str]) -> Iterator[str]:
    """RFC 4180, with a column per label of `labels` behind the others."""
    yield _to_csv([["track_id", "path", "duration_s", "labels", "model", "warnings", *map(guard, labels)]])
    for page in pages:
        yield _to_csv(
            [
                str(result.track_id),
                guard(result.path),
                result.duration_s,
                guard("; ".join(f"{given.label}={given.score}" for given in result.labels)),
                guard(result.model),
                guard(" ".join(result.warnings)),
                *((result.scores or {}).get(label) for label in labels),
            ]
            for result in page
        )


def guard(text: str) -> str:
    """Make a spreadsheet show a text that it would calculate."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _to_csv(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
