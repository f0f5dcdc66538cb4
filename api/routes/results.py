"""Results of a job, streamed."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from fastapi.responses import StreamingResponse

from api import schemas
from api.deps import Reader, Scores, SessionDep, SessionsDep
from api.exports import MEDIA_TYPES, ExportFormat, expect_results, export
from api.routes import make_router, problems
from core.config.params import JobKind
from core.errors import JobHasNoItems
from core.jobs.jobs import get_job

router = make_router("jobs")

TEXT: dict[str, Any] = {"schema": {"type": "string"}}
FORMATS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": list[schemas.Result],
        "description": "The labelled tracks",
        "content": {"application/x-ndjson": TEXT, "text/csv": TEXT},
    }
}


@router.get("/{job_id}/results", response_class=StreamingResponse, responses=FORMATS | problems(404, 409))
def get_results(
    job_id: UUID,
    session: SessionDep,
    sessions: SessionsDep,
    caller: Reader,
    form: Annotated[ExportFormat, Query(alias="format")] = ExportFormat.JSON,
    scores: Scores = None,
    similar: Annotated[
        int, Query(ge=0, le=10, description="nearest tracks of the library to add to every row")
    ] = 0,
    only_with_warnings: Annotated[
        bool, Query(description="only tracks of which some audio is missing")
    ] = False,
) -> StreamingResponse:
    """Every track that is labelled so far, in the order of the library.

    In CSV, text that a spreadsheet would take for a formula has a `'` in front, and `scores=all` adds a
    column per label, `similar` one with the nearest tracks. The answer breaks off when the job,
    its library or its model is deleted meanwhile.
    """
    job = get_job(session, job_id, visible_to=caller.visible_to)
    if job.kind != JobKind.ANALYSIS:
        raise JobHasNoItems
    model = expect_results(session, job)
    return StreamingResponse(
        export(
            sessions,
            job,
            model,
            form,
            all_scores=scores == "all",
            similar=similar,
            only_with_warnings=only_with_warnings,
        ),
        media_type=MEDIA_TYPES[form],
        headers={"Content-Disposition": f'attachment; filename="results-{job_id}.{form}"'},
    )
