"""The `jobs` command."""

from functools import partial
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from api import schemas
from api.client import display
from api.client.connection import connect
from api.client.http import Client, UsageError
from api.client.label import show_failures, show_findings
from api.client.lists import Limit, Pages, check_limit, most_of, show_list
from api.client.maps import show_map
from api.client.options import Json
from api.client.preview import show_preview
from api.client.progress import progress_of, state_of
from api.client.references import Reference, find_job
from api.client.studies import show_study
from api.client.train import show_outcome
from api.client.tune import show_thresholds
from core.config.params import JobKind
from core.output.files import check_file, csv_file
from core.states import TERMINAL_JOB_STATES

COUNTS = ("done", "skipped", "failed", "total")  # of a job, through a pipe


def jobs(
    job: Reference = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="Stop it; what is done is kept.")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Submit what failed or was left undone.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Delete it; its labels stay.")] = False,
    csv: Annotated[
        Path | None,
        typer.Option(metavar="FILE", callback=check_file, help="Write the labels and scores of its tracks."),
    ] = None,
    errors: Annotated[
        Path | None,
        typer.Option(metavar="FILE", callback=check_file, help="Write what failed, and why, as CSV."),
    ] = None,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """List jobs, or show, export, cancel, retry or delete one."""
    is_export = csv is not None or errors is not None
    if job is None and (cancel or retry or delete or is_export):
        raise UsageError("Name the job: `mfa jobs ID --cancel`, or `mfa jobs last --csv FILE`.")
    if cancel + retry + delete + is_export > 1:
        raise UsageError("One thing at a time: cancel, retry, delete or export a job.")
    if as_json and is_export:
        raise UsageError("--json does not go with --csv and --errors.")
    check_limit(limit, job)
    with connect() as client:
        if job is None:
            show_jobs(Pages(client.list_jobs, most_of(limit)), as_json=as_json)
            return
        job_id = find_job(client, job)
        if cancel:
            cancel_job(client, job_id, as_json=as_json)
        elif retry:
            retry_job(client, job_id, as_json=as_json)
        elif delete:
            client.delete_job(job_id)
            sentence = f"Job {job_id} is deleted; the labels of its tracks stay."
            display.show_answer(None, sentence, as_json=as_json)
        elif is_export:
            export(client, job_id, csv, errors)
        else:
            show_job(client, job_id, as_json=as_json)


def show_jobs(found: Pages[schemas.Job], *, as_json: bool) -> None:
    in_words = display.console.is_terminal
    show_list(
        found,
        ("id", "kind", "of", "state", *(("progress",) if in_words else COUNTS), "submitted"),
        lambda job: (
            job.id,
            display.Name(job.kind),
            subject_of(job),
            display.Name(job.state),
            *([progress_of(job)] if in_words else [getattr(job.progress, count) for count in COUNTS]),
            job.created_at,
        ),
        as_json=as_json,
        when_empty=lambda: "There are no jobs yet: `mfa label FOLDER` makes one.",
    )


def subject_of(job: schemas.Job) -> str | UUID:
    """The library and folder, the uploaded file, the experiment, the study or the model.

    A resumed study is known by its id only.
    """
    if job.kind == JobKind.TRAINING:
        return str(job.params["experiment"]["experiment_name"])
    if job.kind == JobKind.TUNING:
        is_new = "study" in job.params
        return str(job.params["study"]["study_name"]) if is_new else UUID(job.params["resume"])
    if job.kind in (JobKind.THRESHOLDS, JobKind.PREVIEW):
        return str(job.params["model"])
    parts = (job.params.get("library"), job.params.get("path"), job.params.get("filename"))
    return "/".join(part for part in parts if part) or str(job.params.get("model", ""))


def show_job(client: Client, job_id: UUID, *, as_json: bool) -> None:
    job = client.get_job(job_id)
    if as_json:
        display.show_json(job)
        return
    display.say(f"{job.kind} of {subject_of(job)}: {job.state}", "bold")
    if job.state in TERMINAL_JOB_STATES:
        counts = job.progress
        display.say(f"{counts.done} done, {counts.skipped} known already, {counts.failed} failed")
    else:
        display.say(state_of(job))
    display.say(f"job {job.id}, {times_of(job)}")
    if job.error is not None:
        display.say(f"{job.error.code}: {job.error.detail}", "red")
    show_findings(job)
    show_result(client, job.result)
    if job.progress.failed and job.kind != JobKind.TUNING:
        show_failures(client, job.id, job.progress.failed)


def show_result(client: Client, result: schemas.Outcome | None) -> None:
    """What the job has found, but for the tracks of an analysis."""
    if isinstance(result, schemas.TrainingOutcome):
        show_outcome(result)
    elif isinstance(result, schemas.TuningOutcome):
        show_study(client, result.study_id)
    elif isinstance(result, schemas.ThresholdOutcome):
        show_thresholds(result)
    elif isinstance(result, schemas.PreviewOutcome):
        show_preview(result)
    elif isinstance(result, schemas.MapOutcome):
        show_map(result)
    elif isinstance(result, schemas.Prediction):
        display.say(display.labels_of(result, top=10))


def times_of(job: schemas.Job) -> str:
    submitted = f"submitted {display.date_of(job.created_at)}"
    if job.finished_at is None:
        return submitted
    ended = f"{submitted}, ended {display.date_of(job.finished_at)}"
    if job.started_at is None:
        return ended
    return f"{ended} after {display.duration_of((job.finished_at - job.started_at).total_seconds())}"


def export(client: Client, job_id: UUID, csv: Path | None, errors: Path | None) -> None:
    if csv is not None:
        client.save_results(job_id, csv)
        display.say(f"The labels and scores are in {csv}.")
    if errors is not None:
        columns = ("path", "track_id", "code", "detail")
        failed = Pages(partial(client.list_failed, job_id))
        with csv_file(errors, columns) as add:
            for item in failed:
                add(failure_row(item))
        display.say(f"{failed.count} failed items are in {errors}.")


def failure_row(item: schemas.Item) -> tuple[str, str, str, str]:
    code, detail = (item.error.code, item.error.detail) if item.error else ("", "")
    return item.path, str(item.track_id or ""), code, detail


def cancel_job(client: Client, job_id: UUID, *, as_json: bool) -> None:
    job = client.cancel_job(job_id)
    display.show_answer(job, f"Job {job.id} is {job.state}; what is done is kept.", as_json=as_json)


def retry_job(client: Client, job_id: UUID, *, as_json: bool) -> None:
    job = client.retry_job(job_id)
    sentence = f"The rest is submitted as job {job.id}; `mfa jobs {job.id}` shows it."
    display.show_answer(job, sentence, as_json=as_json)
