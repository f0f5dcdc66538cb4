"""The `jobs` command."""

from uuid import UUID

from api import schemas
from api.client import display
from api.client.http import Client
from api.client.label import show_failures, show_findings
from api.client.preview import show_preview
from api.client.train import show_outcome
from api.client.tune import show_study, show_thresholds
from core.config.params import JobKind
from core.states import TERMINAL_JOB_STATES

SHOWN_JOBS = 20


def show_jobs(client: Client) -> None:
    display.show_table(
        "",
        ("id", "kind", "of", "state", "progress", "submitted"),
        (
            (
                str(job.id),
                job.kind,
                subject_of(job),
                job.state,
                display.progress_of(job),
                display.date_of(job.created_at),
            )
            for job in client.list_jobs(SHOWN_JOBS)
        ),
    )


def subject_of(job: schemas.Job) -> str:
    """The library and folder, the uploaded file, the experiment, the study or the model."""
    if job.kind == JobKind.TRAINING:
        return str(job.params["experiment"]["experiment_name"])
    if job.kind == JobKind.TUNING:
        return str(job.params["study"]["study_name"] if "study" in job.params else job.params["resume"])
    parts = (job.params.get("library"), job.params.get("path"), job.params.get("filename"))
    return "/".join(part for part in parts if part) or str(job.params["model"])


def show_job(client: Client, job_id: UUID) -> None:
    job = client.get_job(job_id)
    display.say(f"{job.kind} of {subject_of(job)}: {job.state}", "bold")
    if job.state in TERMINAL_JOB_STATES:
        counts = job.progress
        display.say(f"{counts.done} done, {counts.skipped} known already, {counts.failed} failed")
    else:
        display.say(display.progress_of(job))
    display.say(
        f"submitted {display.date_of(job.created_at)}, ended {display.date_of(job.finished_at) or '–'}"
    )
    if job.error is not None:
        display.say(f"{job.error.code}: {job.error.detail}", "red")
    show_findings(job)
    if isinstance(job.result, schemas.TrainingOutcome):
        show_outcome(job.result)
    elif isinstance(job.result, schemas.TuningOutcome):
        show_study(client, job.result.study_id)
    elif isinstance(job.result, schemas.ThresholdOutcome):
        show_thresholds(job.result)
    elif isinstance(job.result, schemas.PreviewOutcome):
        show_preview(job.result)
    elif isinstance(job.result, schemas.Prediction):
        display.say(display.labels_of(job.result, top=10))
    if job.progress.failed and job.kind != JobKind.TUNING:
        show_failures(client, job.id, job.progress.failed)


def cancel(client: Client, job_id: UUID) -> None:
    job = client.cancel_job(job_id)
    display.say(f"Job {job.id} is {job.state}; what is done is kept.")


def delete(client: Client, job_id: UUID) -> None:
    client.delete_job(job_id)
    display.say(f"Job {job_id} is deleted; the labels of its tracks stay.")


def retry(client: Client, job_id: UUID) -> None:
    job = client.retry_job(job_id)
    display.say(f"What failed is submitted as job {job.id}; `mfa jobs {job.id}` shows it.")
