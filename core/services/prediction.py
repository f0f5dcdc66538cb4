"""Jobs that label one uploaded file."""

from uuid import UUID

from sqlalchemy.orm import Session

from core.config.params import JobKind, PredictParams
from core.errors import NothingToRetry
from core.jobs.kinds import JobSpec, NewJob, SubmissionContext, UnitSpec
from core.jobs.submission import Submission, submit
from core.services import queues
from core.services.references import check_model_kept, hold_library_and_model
from core.states import JobState
from core.store.registry import resolve_model
from core.store.tables import Job

PREDICT = UnitSpec("predict", queues.INTERACTIVE, "workers.analysis:analyse_upload", is_one_item=True)


def submit_prediction(
    session: Session, job_id: UUID, params: PredictParams, context: SubmissionContext, *, sha256: str = ""
) -> Submission:
    """Label the file in the uploads folder that is named by the job's id; `sha256` is its digest in hex."""
    content = params.model_dump(mode="json")

    def prepare() -> NewJob:
        model = resolve_model(session, params.model)
        return NewJob(JobKind.PREDICT, content, total=1, id=job_id, model_id=model.id)

    return submit(session, context, (JobKind.PREDICT, content, sha256), prepare)


def retry_prediction(_session: Session, old: Job) -> NewJob:
    """Label the same upload again; its file must be stored under the new job's id before the commit."""
    if old.state == JobState.SUCCEEDED:
        raise NothingToRetry("This file has been labelled: there is nothing to retry.")
    check_model_kept(old)
    return NewJob(JobKind.PREDICT, old.params, total=1, model_id=old.model_id, retry_of=old.id)


PREDICTION = JobSpec(
    name=JobKind.PREDICT,
    params=PredictParams,
    first_unit=PREDICT,
    retry=retry_prediction,
    hold_references=hold_library_and_model,
    expires=True,
)
