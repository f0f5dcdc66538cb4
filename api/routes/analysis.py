"""Label one uploaded file, and wait for it a while."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from api import schemas, views
from api.deps import ContextDep, ReadsDep, Scores, SessionsDep, SettingsDep, SpaceDep
from api.routes import API, make_router, problems
from api.uploads import accept, display_name
from api.waiting import NOT_DONE_YET, Prefer, answer_in_time
from core.config.params import PredictParams
from core.errors import Invalid, NoDiskSpace, Unavailable
from core.jobs.kinds import SubmissionContext
from core.jobs.space import SpaceCheck
from core.jobs.submission import check_room
from core.store.session import SessionFactory

router = make_router("analysis")

PREDICT_PATH = f"{API}/analysis/predict"
MAX_FIELD_BYTES = 1000
MAX_UPLOADS = 32  # at a time, in this process
uploads = asyncio.Semaphore(MAX_UPLOADS)
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
    space: SpaceDep,
    prefer: Prefer = None,
    scores: Scores = None,
) -> schemas.Prediction | schemas.Job:
    """Label one file: 200 with the prediction when it is done in time, else 202 with the job.

    When too many requests wait already, the answer is a 202 at once.
    A file that cannot be labelled is a 422 whose `type` says why, for example `urn:mfa:error:not_audio`.
    """
    await run_in_threadpool(refuse_early, reads, context, space)
    if uploads.locked():
        raise Unavailable("Too many files are being uploaded at the moment.")
    async with uploads, received_form(request) as fields:
        file, params = read_form(fields)
        submission = await run_in_threadpool(
            accept, sessions, settings.uploads_dir, file.file, params, context
        )
    read = partial(views.job_prediction, all_scores=scores == "all")
    return await answer_in_time(reads, submission, prefer, response, read)


def refuse_early(reads: SessionFactory, context: SubmissionContext, space: SpaceCheck) -> None:
    """Raise TooManyJobs or NoDiskSpace before anything is received or stored for the new job."""
    if shortage := space.find_shortage():
        raise NoDiskSpace(shortage)
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
