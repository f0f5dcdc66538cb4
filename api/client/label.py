"""Label a folder: name it as a library, submit the job, follow it, show the results."""

import re
import sys
import time
from itertools import islice
from pathlib import Path
from uuid import UUID

import typer

from api import schemas
from api.client import display
from api.client.http import Client, ClientError, Refused, Unreachable
from core.config.models import Coverage, Windows
from core.config.params import AnalysisParams
from core.library.left_out import as_text
from core.states import TERMINAL_JOB_STATES, JobState

LOOK_EVERY_S = 0.5
PATIENCE_S = 60.0  # with a gateway that restarts while a job runs
SHOWN_TRACKS = 100
SHOWN_FAILURES = 50
COUNTED_TAGS, SHOWN_TAGS = 1000, 20


def label_folder(
    client: Client,
    folder: Path,
    library: str | None,
    coverage: str,
    *,
    force: bool,
    csv: Path | None,
    confirm_empty: bool,
) -> None:
    folder = folder.expanduser().resolve()
    if not folder.is_dir():
        raise ClientError(f"There is no folder {folder}.")
    parsed_coverage = parse_coverage(coverage)
    name, path = find_or_create_library(client, folder, library)
    params = AnalysisParams(
        library=name, path=path, coverage=parsed_coverage, force=force, confirm_empty=confirm_empty
    )
    job = client.submit_analysis(params)
    try:
        job = follow(client, job)
    except KeyboardInterrupt:
        leave_or_cancel(client, job)
        raise
    if csv is not None:
        client.save_results(job.id, csv)
    show_outcome(client, job)
    display.say(summary(job, None), "bold")


def leave_or_cancel(client: Client, job: schemas.Job) -> None:
    """Ctrl-C ends the command; whether it ends the job is for the user to say."""
    if sys.stdin.isatty() and typer.confirm("\nCancel the job too?", default=False):
        client.cancel_job(job.id)
        display.say("The job is being cancelled; what is done is kept.")
    else:
        display.say(
            f"The job goes on in the background. `mfa jobs {job.id}` shows it, "
            f"`mfa jobs {job.id} --cancel` stops it."
        )


def find_or_create_library(client: Client, folder: Path, name: str | None) -> tuple[str, str]:
    """The name of a library that holds `folder`, and the path of the folder in it."""
    if name is not None:
        return client.create_library(name, folder).name, ""
    known = client.list_libraries()
    holding = [library for library in known if folder.is_relative_to(library.path)]
    if holding:
        closest = max(holding, key=lambda library: len(library.path))
        path = folder.relative_to(closest.path).as_posix()
        return closest.name, "" if path == "." else path
    taken = {library.name for library in known}
    base = folder.name or "music"
    name = next(
        candidate for candidate in (base, *(f"{base}-{n}" for n in range(2, 9999))) if candidate not in taken
    )
    return client.create_library(name, folder).name, ""


def parse_coverage(coverage: str) -> Coverage:
    """`full`, or a number of windows."""
    if coverage == "full":
        return "full"
    if re.fullmatch(r"[1-9]\d{0,2}|1000", coverage):
        return Windows(windows=int(coverage))
    raise ClientError("--coverage is `full` or a number of windows from 1 to 1000.")


def follow(client: Client, job: schemas.Job) -> schemas.Job:
    """Show the progress of a job until it has ended."""
    last_answer = time.monotonic()
    with display.job_bar() as bar:
        while True:
            bar.show(job)
            if job.state in TERMINAL_JOB_STATES:
                return job
            time.sleep(LOOK_EVERY_S)
            try:
                job = client.get_job(job.id)
                last_answer = time.monotonic()
            except (Unreachable, Refused) as error:
                if not is_passing(error) or time.monotonic() - last_answer > PATIENCE_S:
                    raise
                bar.note("the gateway does not answer, trying again")


def is_passing(error: ClientError) -> bool:
    """Whether waiting may help."""
    return isinstance(error, Unreachable) or (isinstance(error, Refused) and error.problem.status == 503)


def show_outcome(client: Client, job: schemas.Job) -> None:
    """The tracks with labels and nearest track, then what failed; an error when nothing is labelled."""
    results = list(islice(client.iterate_results(job.id, similar=1), SHOWN_TRACKS))
    if results:
        show_results(results)
    labelled = job.progress.done + job.progress.skipped
    if labelled > len(results):
        display.say(f"… and {labelled - len(results)} more; `--csv FILE` writes all.")
    show_warnings(client, job.id)
    if job.progress.failed:
        show_failures(client, job.id, job.progress.failed)
    show_findings(job)
    show_unreadable_tags(client, str(job.params["library"]))
    if job.state == JobState.FAILED:
        raise ClientError(f"The job failed: {job.error.detail if job.error else 'no reason is known.'}")
    if job.state == JobState.CANCELLED:
        raise ClientError("The job was cancelled.")
    if not labelled and not count_missing(job):
        raise ClientError("Nothing was labelled: the folder holds no audio that can be read.")


def show_results(results: list[schemas.Result]) -> None:
    display.show_table(
        "Labels",
        ("track", "top labels", "sounds most like"),
        ((result.path, display.labels_of(result), nearest(result)) for result in results),
    )


def nearest(result: schemas.Result) -> str:
    near = (result.similar or [])[:1]
    return f"{near[0].path} ({near[0].similarity:.2f})" if near else "–"


def show_warnings(client: Client, job_id: UUID) -> None:
    """How many tracks are labelled although some of their audio is missing, and the first of them."""
    first: list[schemas.Result] = []
    count = 0
    for result in client.iterate_results(job_id, only_with_warnings=True):
        count += 1
        if len(first) < SHOWN_FAILURES:
            first.append(result)
    if not count:
        return
    rows = ((result.path, " ".join(result.warnings)) for result in first)
    display.show_table(f"Labelled with warnings: {count}", ("track", "warning"), rows)
    if count > len(first):
        display.say(f"… and {count - len(first)} more; `--csv FILE` writes all.")


def show_failures(client: Client, job_id: UUID, count: int) -> None:
    items = client.list_failed(job_id, SHOWN_FAILURES)
    display.show_table(
        f"Not labelled: {count}",
        ("file", "code", "why"),
        (
            (item.path, item.error.code if item.error else "", item.error.detail if item.error else "")
            for item in items
        ),
    )
    if count > len(items):
        display.say(f"… and {count - len(items)} more: GET /api/v1/jobs/{job_id}/items?state=failed")


def show_findings(job: schemas.Job) -> None:
    """What the listing of an analysis left out, marked as missing, or warns of."""
    if job.progress.left_out:
        display.say(f"Left out: {as_text(job.progress.left_out)}.")
    if missing := count_missing(job):
        display.say(f"{missing} tracks are gone and marked as missing.")
    for warning in job.progress.warnings:
        display.say(warning, "yellow")


def count_missing(job: schemas.Job) -> int:
    return job.result.missing if isinstance(job.result, schemas.AnalysisOutcome) else 0


def show_unreadable_tags(client: Client, library: str) -> None:
    """How many files of the library have tags that cannot all be read, and why.

    Says so when that cannot be found out, as for a library that was renamed meanwhile: what the job did is
    shown anyway.
    """
    try:
        page = client.list_unreadable_tags(library, COUNTED_TAGS)
    except ClientError as error:
        display.say(f"Files with unreadable tags cannot be shown: {error}", "yellow")
        return
    if not page.items:
        return
    more = " or more" if page.next_cursor else ""
    display.show_table(
        f"Files of the library with unreadable tags: {len(page.items)}{more}",
        ("file", "why"),
        ((track.path, track.tags_error or "") for track in page.items[:SHOWN_TAGS]),
    )
    if len(page.items) > SHOWN_TAGS:
        display.say(f"The others: GET /api/v1/tracks?library={library}&unreadable_tags=true")


def summary(job: schemas.Job, audio_s: float | None) -> str:
    """How much was done in which time."""
    progress = job.progress
    parts = [f"{progress.done} tracks labelled"]
    if progress.skipped:
        parts.append(f"{progress.skipped} known already")
    if progress.failed:
        parts.append(f"{progress.failed} not labelled")
    text = ", ".join(parts)
    if job.started_at is None or job.finished_at is None:
        return text + "."
    took_s = (job.finished_at - job.started_at).total_seconds()
    text += f" in {took_s:.1f} s"
    if audio_s is not None:
        text += f", {audio_s:.0f} s of audio"
        if took_s > 0 and not progress.skipped:  # what was skipped took no time
            text += f", {audio_s / took_s:.0f} times real time"
    return text + "."
