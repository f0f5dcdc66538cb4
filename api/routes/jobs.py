"""Jobs: submit, look at, cancel, retry."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response
from fastapi.responses import StreamingResponse

from api import schemas, views
from api.deps import (
    ContextDep,
    Cursor,
    IdPrefix,
    Limit,
    Reader,
    ReadsDep,
    SessionDep,
    SessionsDep,
    SettingsDep,
    Writer,
)
from api.exports import CSV, MEDIA_TYPES, ExportFormat, export_failed_items
from api.routes import API, DELETED, make_router, problems
from api.uploads import keep_for_retry
from core.config.params import JobKind
from core.jobs import jobs as service
from core.jobs import submission as submissions
from core.jobs.failures import group_failures
from core.jobs.items import list_items
from core.jobs.jobs import OPEN_JOB_STATES
from core.jobs.submission import Submission
from core.services import changes
from core.services.analysis import check_library
from core.services.job_activity import describe_activity
from core.states import ItemState, JobState
from core.store.libraries import get_library_by_name

router = make_router("jobs")

ErrorCode = Annotated[
    str | None,
    Query(max_length=100, pattern="^[a-z_]+$", description="only items that failed with this error code"),
]


@router.post("", status_code=202, responses=problems(400, 404, 413))
def submit_job(
    body: schemas.JobRequest,
    session: SessionDep,
    context: ContextDep,
    response: Response,
) -> schemas.Job:
    """Queue asynchronous work and answer at once. Poll the URL in `Location`.

    `analysis` labels every track of a library or of one of its folders. Tracks that have a result of the
    model already are skipped unless `force` is set; where only the head of a model is new, embeddings that
    are known already are labelled without opening a file.

    `training` trains a model on a dataset: a library, or (without an `admin` key) a folder inside one.
    Its progress counts epochs, its result says how good the new model is.

    `tuning` searches the hyper-parameters of such a training; its progress counts trials, its result says
    which were best.

    `thresholds` re-tunes the label thresholds of a model, as a new version if that is a gain. `tuning` with
    `thresholds` makes the same job.

    `preview` says what would change if a model served in place of another one; it changes nothing.

    `map` places all tracks, or those of a library, in the plane by their stored embeddings: see `GET /map`.
    """
    submission = submissions.submit_job(session, body.params, context)
    return accepted(response, submission, views.job(session, submission.job))


def accepted(response: Response, submission: Submission, job: schemas.Job) -> schemas.Job:
    """Say where the job is."""
    point_to(response, job)
    if submission.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return job


def point_to(response: Response, job: schemas.Job) -> None:
    response.headers["Location"] = f"{API}/jobs/{job.id}"
    suggest_retry(response, job)


def suggest_retry(response: Response, job: schemas.Job) -> None:
    """`Retry-After` while there is something to wait for."""
    if job.state in OPEN_JOB_STATES:
        response.headers["Retry-After"] = views.RETRY_AFTER_S


@router.get("", responses=problems(404))
def list_jobs(
    session: SessionDep,
    caller: Reader,
    state: JobState | None = None,
    kind: JobKind | None = None,
    library: Annotated[str | None, Query(max_length=200, description="name of a library")] = None,
    id_prefix: IdPrefix = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> schemas.Page[schemas.Job]:
    """The caller's jobs, newest first; with an `admin` key everybody's."""
    page = service.list_jobs(
        session,
        cursor,
        limit,
        state,
        kind=kind,
        library_id=get_library_by_name(session, library).id if library is not None else None,
        visible_to=caller.visible_to,
        id_prefix=id_prefix,
    )
    return schemas.Page(items=views.job_list(session, page.items), next_cursor=page.next_cursor)


@router.get("/{job_id}", responses=problems(404))
def get_job(job_id: UUID, reads: ReadsDep, caller: Reader, response: Response) -> schemas.Job:
    """State and progress. `Retry-After` says when to ask again; it is missing once the job has ended."""
    job = views.read_job(reads, job_id, caller.visible_to)
    suggest_retry(response, job)
    return job


@router.get("/{job_id}/activity", responses=problems(404))
def get_job_activity(job_id: UUID, session: SessionDep, caller: Reader) -> schemas.JobActivity:
    """What the job waits for, how much of it is open, and what its work took by stage."""
    job = service.get_job(session, job_id, visible_to=caller.visible_to)
    return schemas.JobActivity.model_validate(describe_activity(session, job))


@router.get("/{job_id}/failures", responses=problems(404))
def get_job_failures(job_id: UUID, session: SessionDep, caller: Reader) -> schemas.JobFailures:
    """The failed items by error code; `/items?code=` lists those of one, `/retry?code=` retries them."""
    service.get_job(session, job_id, visible_to=caller.visible_to)
    groups, complete = group_failures(session, job_id)
    shown = [schemas.FailureGroup.model_validate(group) for group in groups]
    return schemas.JobFailures(groups=shown, complete=complete)


@router.get("/{job_id}/failures.csv", response_class=StreamingResponse, responses=CSV | problems(404))
def export_failures(
    job_id: UUID, session: SessionDep, sessions: SessionsDep, caller: Reader, code: ErrorCode = None
) -> StreamingResponse:
    """What failed, and why, as CSV: path, code, detail.

    Text that a spreadsheet would take for a formula has a `'` in front.
    """
    check_library(session, service.get_job(session, job_id, visible_to=caller.visible_to))
    name = f"failed-{job_id}{f'-{code}' if code else ''}.csv"
    return StreamingResponse(
        export_failed_items(sessions, job_id, code),
        media_type=MEDIA_TYPES[ExportFormat.CSV],
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@router.post("/{job_id}/cancel", status_code=202, responses=problems(404, 409))
def cancel_job(job_id: UUID, session: SessionDep, caller: Writer, response: Response) -> schemas.Job:
    """Ask for a stop. Workers see it within seconds; what is done by then is kept."""
    job = views.job(session, service.cancel_job(session, job_id, visible_to=caller.visible_to))
    point_to(response, job)
    return job


@router.post("/{job_id}/retry", status_code=202, responses=problems(404, 409))
def retry_job(
    job_id: UUID,
    session: SessionDep,
    settings: SettingsDep,
    caller: Writer,
    context: ContextDep,
    response: Response,
    code: ErrorCode = None,
) -> schemas.Job:
    """A new job over what failed, or was left undone, in a job that has ended.

    A training goes on from its last checkpoint. Folders that could not be listed are listed again, as is a
    library whose listing failed or was cancelled. An upload is labelled again while its file is kept: for an
    hour. With `code`, only what has failed in an analysis with this error code.
    """
    submission = submissions.retry_job(session, job_id, context, code, visible_to=caller.visible_to)
    if submission.job.kind == JobKind.PREDICT and not submission.replayed:
        keep_for_retry(settings, job_id, submission.job.id)
    return accepted(response, submission, views.job(session, submission.job))


@router.delete("/{job_id}", status_code=204, responses=DELETED | problems(404, 409))
def delete_job(job_id: UUID, session: SessionDep, caller: Writer) -> None:
    """Delete a job that has ended, with its items. The labels of its tracks, its run and its study stay.

    409 while it is open, and while an open job retries it. Its Idempotency-Key can be used again.
    """
    changes.delete_job(session, job_id, visible_to=caller.visible_to)


@router.get("/{job_id}/items", responses=problems(404))
def list_job_items(
    job_id: UUID,
    session: SessionDep,
    caller: Reader,
    state: Annotated[ItemState | None, Query(description="only items in this state")] = None,
    code: ErrorCode = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> schemas.Page[schemas.Item]:
    """The outcome of each track, in the order of the library; `state=failed` lists what went wrong."""
    check_library(session, service.get_job(session, job_id, visible_to=caller.visible_to))
    page = list_items(session, job_id, state, cursor, limit, code)
    return schemas.Page(items=[views.item(row) for row in page.items], next_cursor=page.next_cursor)
