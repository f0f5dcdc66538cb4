"""Label one uploaded file, and wait for it a while."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Annotated, Any
from uuid import UUID

from fastapi import Header, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from api import schemas, views
from api.deps import ContextDep, ReadsDep, Scores, SessionsDep, SettingsDep
from api.routes import API, make_router, problems
from api.routes.jobs import accepted
from api.uploads import accept, display_name
from core.config.params import PredictParams
from core.errors import Invalid, JobCancelled, JobFailed, Unavailable, item_error
from core.jobs.jobs import get_job
from core.jobs.kinds import SubmissionContext
from core.jobs.submission import check_room
from core.states import TERMINAL_JOB_STATES, JobState
from core.store.session import SessionFactory

router = make_router("analysis")

PREDICT_PATH = f"{API}/analysis/predict"
DEFAULT_WAIT_S, MAX_WAIT_S = 30, 120
FIRST_PAUSE_S, LAST_PAUSE_S = 0.05, 0.5
MAX_FIELD_BYTES = 1000
MAX_UPLOADS, MAX_WAITERS = 32, 200  # at a time, in this process
uploads, waiters = asyncio.Semaphore(MAX_UPLOADS), asyncio.Semaphore(MAX_WAITERS)
# The form is read in the route, after the caller is checked: strangers must not fill the disk.
FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "the audio"},
                        "model": {
                            "type": "string",
                            "default": "default",
                            "description": "alias, `name` or `name@version`",
                        },
                    },
                }
            }
        },
    }
}
NOT_DONE_YET: dict[int | str, dict[str, Any]] = {
    202: {"model": schemas.Job, "description": "Not done in time; poll the job at `Location`"}
}


@router.post(
    "/predict",
    response_model=schemas.Prediction | schemas.Job,
    responses=NOT_DONE_YET | problems(400, 404, 409, 413, 500),
    openapi_extra=FORM,
)
async def predict(
    request: Request,
    response: Response,
    sessions: SessionsDep,
    reads: ReadsDep,
    settings: SettingsDep,
    context: ContextDep,
    prefer: Annotated[
        str | None, Header(description="`wait=N`: seconds to wait for the result, 0 to 120; default 30")
    ] = None,
    scores: Scores = None,
) -> schemas.Prediction | schemas.Job:
    """Label one file: 200 with the prediction when it is done in time, else 202 with the job.

    When too many requests wait already, the answer is a 202 at once.
    A file that cannot be labelled is a 422 whose `type` says why, for example `urn:mfa:error:not_audio`.
    """
    await run_in_threadpool(refuse_early, reads, context)
    if uploads.locked():
        raise Unavailable("Too many files are being uploaded at the moment.")
    async with uploads, received_form(request) as fields:
        file, params = read_form(fields)
        submission = await run_in_threadpool(
            accept, sessions, settings.uploads_dir, file.file, params, context
        )
    preferred_s = preferred_wait_s(prefer)
    wait_s = 0 if waiters.locked() else DEFAULT_WAIT_S if preferred_s is None else preferred_s
    if preferred_s == wait_s:
        response.headers["Preference-Applied"] = f"wait={wait_s}"
    async with waiters if wait_s else nullcontext():
        answer = await wait_for(reads, submission.job.id, wait_s, all_scores=scores == "all")
    if isinstance(answer, schemas.Job):
        response.status_code = 202
        accepted(response, submission, answer)
    elif submission.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return answer


def refuse_early(reads: SessionFactory, context: SubmissionContext) -> None:
    """Raise TooManyJobs before anything is received or stored for the new job."""
    with reads() as session:
        check_room(session, context)


@asynccontextmanager
async def received_form(request: Request) -> AsyncIterator[FormData]:
    """The form, whose file lies in the temporary folder when it is large."""
    try:
        form = await request.form(max_files=1, max_fields=1, max_part_size=MAX_FIELD_BYTES)
    except OSError as error:
        raise Unavailable(f"The upload cannot be stored: {error.strerror}.") from error
    try:
        yield form
    finally:
        await form.close()


def read_form(form: FormData) -> tuple[UploadFile, PredictParams]:
    file, model = form.get("file"), form.get("model", "default")
    if not isinstance(file, UploadFile):
        raise Invalid("The form needs a part `file` that is a file.")
    try:
        return file, PredictParams(filename=display_name(file.filename), model=str(model))
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error


def preferred_wait_s(prefer: str | None) -> int | None:
    """`wait` out of a `Prefer` header, within bounds; None if there is none or it is malformed (RFC 7240)."""
    found = re.search(
        r'(?:^|[,;\s])wait\s*=\s*"?(\d{1,9})"?(?=$|[,;\s])', prefer or "", re.IGNORECASE | re.ASCII
    )
    return min(int(found[1]), MAX_WAIT_S) if found else None


async def wait_for(
    reads: SessionFactory, job_id: UUID, wait_s: float, *, all_scores: bool
) -> schemas.Prediction | schemas.Job:
    """The prediction, or the job when the time is up. Between two queries no connection is held."""
    deadline, pause_s = time.monotonic() + wait_s, FIRST_PAUSE_S
    while True:
        answer = await run_in_threadpool(find_answer, reads, job_id, all_scores=all_scores)
        left_s = deadline - time.monotonic()
        if isinstance(answer, schemas.Prediction) or left_s <= 0:
            return answer
        await asyncio.sleep(min(pause_s, left_s))
        pause_s = min(pause_s * 1.3, LAST_PAUSE_S)


def find_answer(reads: SessionFactory, job_id: UUID, *, all_scores: bool) -> schemas.Prediction | schemas.Job:
    """The prediction once there is one; raises the error of a job that ended without."""
    with reads() as session:
        job = get_job(session, job_id)
        if job.state not in TERMINAL_JOB_STATES:
            return views.job(session, job)
        if job.state == JobState.CANCELLED:
            raise JobCancelled
        if job.state == JobState.FAILED:
            raise item_error(job.error_code or "", job.error_detail or "")
        answer = views.job_prediction(session, job, all_scores=all_scores)
    if answer is None:
        views.read_job(reads, job_id, None)  # raises JobNotFound for one that has been deleted meanwhile
        raise JobFailed
    return answer
