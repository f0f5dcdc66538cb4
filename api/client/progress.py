"""The progress of a job in words, and as a bar on a terminal; follows a job to its end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import typer
from pydantic import BaseModel
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from api import schemas
from api.client import display
from api.client.http import Client, ClientError, Refused, Unreachable
from core.config.params import JobKind
from core.output.command_group import INTERRUPTED
from core.states import TERMINAL_JOB_STATES, Activity, JobState

R = TypeVar("R", bound=BaseModel)
LOOK_EVERY_S = 0.5
PATIENCE_S = 60.0  # with a gateway that restarts while a job runs

# What the progress of a job counts, unless tracks.
UNITS = {JobKind.TRAINING: "epochs", JobKind.TUNING: "trials", JobKind.THRESHOLDS: "models"}
ACTIVITIES = {
    Activity.READING: "reading the tracks",
    Activity.TRAINING: "training",
    Activity.VALIDATING: "validating",
    Activity.SCORING: "scoring the held-out tracks",
    Activity.CALIBRATING: "choosing thresholds and calibration",
    Activity.MEASURING: "resampling for the intervals",
    Activity.WRITING: "writing the model",
    Activity.INSTALLING: "installing the model",
}


def progress_of(job: schemas.Job) -> str:
    """`listing: 200 found, 10 done`, or `30 of 200, 4.1 tracks/s, 15 min left`."""
    progress = job.progress
    unit = UNITS.get(job.kind, "tracks")
    done = progress.done + progress.failed + progress.skipped
    if progress.percent is None:
        return f"listing: {progress.total} found, {done} done"
    parts = [f"{done} of {progress.total}"]
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    if progress.rate_per_s:
        parts.append(rate_of(progress.rate_per_s, unit))
    if progress.eta_s:
        parts.append(display.time_left(progress.eta_s))
    return ", ".join(parts)


def rate_of(per_s: float, units: str) -> str:
    """`4.1 tracks/s`, or `50 s per trial` when it is less than one."""
    return f"{per_s:.1f} {units}/s" if per_s >= 1 else f"{display.duration_of(1 / per_s)} per {units[:-1]}"


def activity_of(progress: schemas.Progress) -> str:
    """`scoring 12 of 40`; what a training does before it tells is the reading of its tracks."""
    if progress.activity is None:
        return reading_of(progress)
    done, total = progress.activity.done, progress.activity.total
    return ACTIVITIES[progress.activity.name] + (f": {done} of {total}" if total else "")


def reading_of(progress: schemas.Progress) -> str:
    if not progress.tracks_to_read:
        return "reading the tracks"
    return f"reading the tracks: {progress.tracks_read} of {progress.tracks_to_read}"


def state_of(job: schemas.Job) -> str:
    """What a job is doing now, in one line."""
    if job.waiting is not None:
        return f"waiting: {job.waiting}"
    if job.state == JobState.QUEUED:
        return "waiting for a worker"
    done = job.progress.done + job.progress.failed + job.progress.skipped
    if job.kind == JobKind.TRAINING and job.state == JobState.RUNNING:
        return f"{progress_of(job)}; {activity_of(job.progress)}" if done else activity_of(job.progress)
    if job.kind == JobKind.TUNING and job.state == JobState.RUNNING and not done:
        first = f"the first of {job.progress.total} trials"
        return reading_of(job.progress) if job.progress.tracks_to_read else first
    return progress_of(job)


class JobBar:
    """A progress bar that follows a job."""

    def __init__(self, bars: Progress, bar: TaskID) -> None:
        self._bars, self._bar = bars, bar

    def show(self, job: schemas.Job) -> None:
        done = job.progress.done + job.progress.failed + job.progress.skipped
        total = job.progress.total if job.progress.percent is not None else None
        self._bars.update(self._bar, completed=done, total=total, text=state_of(job))

    def note(self, text: str) -> None:
        self._bars.update(self._bar, text=text)


@contextmanager
def job_bar() -> Iterator[JobBar]:
    """On the stream of errors, and on a terminal only: what a pipe gets is the result."""
    spinner = SpinnerColumn("dots" if display.errors.encoding.startswith("utf") else "line")
    columns = (spinner, BarColumn(), TextColumn("{task.fields[text]}", markup=False))
    with Progress(
        *columns, TimeElapsedColumn(), console=display.errors, disable=not display.errors.is_terminal
    ) as bars:
        yield JobBar(bars, bars.add_task("", total=None, text="submitted"))


@contextmanager
def status(first: str) -> Iterator[Callable[[str], None]]:
    """A line that says how far it is, on a terminal only."""
    if not display.errors.is_terminal:
        yield lambda _: None
        return
    with display.errors.status(first, spinner="line") as line:
        yield line.update


def follow(client: Client, job: schemas.Job, parting: str | None = None) -> schemas.Job:
    """Show the progress of a job until it has ended.

    Ctrl-C ends the command and not the job: the user is told `parting`, or how to come back to the job.
    """
    try:
        return _follow(client, job)
    except KeyboardInterrupt:
        display.complain(
            parting
            or f"The job goes on. `mfa jobs {job.id}` shows it, `mfa jobs {job.id} --cancel` stops it."
        )
        raise typer.Exit(INTERRUPTED) from None


def _follow(client: Client, job: schemas.Job) -> schemas.Job:
    last_answer = time.monotonic()
    with job_bar() as bar:
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


def result_of(job: schemas.Job, shape: type[R], noun: str) -> R:
    """What an ended job has found out. Raises ClientError if it did not succeed."""
    if job.state == JobState.CANCELLED:
        raise ClientError(f"The {noun} was cancelled; what is done is kept.")
    if not isinstance(job.result, shape):
        raise ClientError(f"The {noun} failed: {job.error.detail if job.error else 'no reason is known.'}")
    return job.result


def is_passing(error: ClientError) -> bool:
    """Whether waiting may help."""
    return isinstance(error, Unreachable) or (isinstance(error, Refused) and error.problem.status == 503)
