"""What the terminal shows: tables, sentences, progress."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from api import schemas
from core.config.params import JobKind
from core.states import Activity, LabelSource

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

TOP_LABELS = 3
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
FILE_WIDTH = 140  # columns of a table that goes into a file or a pipe

if not console.is_terminal:
    console.width = FILE_WIDTH


def say(line: str, style: str = "") -> None:
    """A line of the program's own; text in brackets is not markup."""
    console.print(Text(line, style=style), soft_wrap=True)


def complain(line: str) -> None:
    errors.print(Text(line, style="red"), soft_wrap=True)


def show_table(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    table = Table(title=title or None, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def labels_of(prediction: schemas.Prediction, top: int = TOP_LABELS) -> str:
    """`jazz (corrected), piano 0.41`."""
    return ", ".join(map(label_of, prediction.labels[:top])) or "no label"


def label_of(given: schemas.Label) -> str:
    certainty = "(corrected)" if given.source == LabelSource.CORRECTED else f"{given.score:.2f}"
    return f"{given.label} {certainty}"


def date_of(when: datetime | None) -> str:
    return when.astimezone().strftime("%Y-%m-%d %H:%M") if when else ""


def duration_of(seconds: float) -> str:
    """`8 s`, `3:05 min`, `2:10 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02} h"


def number_of(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def interval_of(interval: schemas.Interval) -> str:
    return f"{number_of(interval.low)} to {number_of(interval.high)}"


def progress_of(job: schemas.Job) -> str:
    """`listing… 200 found, 10 done`, or `30 of 200, 4.1 tracks/s, 42 s to go`."""
    progress = job.progress
    unit = UNITS.get(job.kind, "tracks")
    done = progress.done + progress.failed + progress.skipped
    if progress.percent is None:
        return f"listing… {progress.total} found, {done} done"
    parts = [f"{done} of {progress.total}"]
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    if progress.rate_per_s:
        parts.append(f"{progress.rate_per_s:.1f} {unit}/s")
    if progress.eta_s:
        parts.append(f"{duration_of(progress.eta_s)} to go")
    return ", ".join(parts)


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


class JobBar:
    """A progress bar that follows a job."""

    def __init__(self, bars: Progress, bar: TaskID) -> None:
        self._bars, self._bar = bars, bar

    def show(self, job: schemas.Job) -> None:
        done = job.progress.done + job.progress.failed + job.progress.skipped
        total = job.progress.total if job.progress.percent is not None else None
        text = progress_of(job) if job.state != "queued" else "waiting for a worker"
        if job.kind == JobKind.TRAINING and job.state == "running":
            text = f"{text}; {activity_of(job.progress)}" if done else activity_of(job.progress)
        if job.kind == JobKind.TUNING and job.state == "running" and not done:
            first = f"the first of {job.progress.total} trials"
            text = reading_of(job.progress) if job.progress.tracks_to_read else first
        self._bars.update(self._bar, completed=done, total=total, text=text)

    def note(self, text: str) -> None:
        self._bars.update(self._bar, text=text)


@contextmanager
def job_bar() -> Iterator[JobBar]:
    columns = (SpinnerColumn(), BarColumn(), TextColumn("{task.fields[text]}", markup=False))
    with Progress(*columns, TimeElapsedColumn(), console=console) as bars:
        yield JobBar(bars, bars.add_task("", total=None, text="submitted"))
