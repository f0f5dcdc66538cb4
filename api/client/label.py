"""Label a folder: name it as a library, submit the job, follow it, show the results."""

import os
import re
import shlex
from itertools import islice
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from api import schemas
from api.client import display
from api.client.connection import connect
from api.client.http import Client, ClientError, UsageError
from api.client.options import Json
from api.client.progress import follow
from core.config.models import Coverage, Windows
from core.config.params import AnalysisParams
from core.library.left_out import as_text
from core.output.files import check_file
from core.states import JobState

SHOWN_TRACKS = 100
SHOWN_FAILURES = 50
COMPARED_TRACKS = 100  # of a library that may have moved
COUNTED_TAGS, SHOWN_TAGS = 1000, 20


def label(
    folder: Annotated[Path, typer.Argument(help="A folder of music, on the machine of the server.")],
    library: Annotated[
        str | None, typer.Option(help="Name of its library; by default the folder's name.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="Label with this model, `name` or `name@version`, without promoting it.")
    ] = "default",
    coverage: Annotated[
        str, typer.Option(help="`full`, or the number of evenly spaced windows to analyse.")
    ] = "full",
    force: Annotated[
        bool, typer.Option("--force", help="Analyse tracks again that already have a result.")
    ] = False,
    csv: Annotated[
        Path | None,
        typer.Option(metavar="FILE", callback=check_file, help="Write all scores of all tracks."),
    ] = None,
    confirm_empty: Annotated[
        bool,
        typer.Option("--confirm-empty", help="Mark the known tracks as missing even when all are gone."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Label every track of a folder and show the results."""
    folder = folder.expanduser().resolve()
    if not folder.is_dir():
        moved = (
            "" if library is None else " `mfa libraries move NAME FOLDER` says where that of a library is."
        )
        raise UsageError(f"There is no folder {folder}.{moved}")
    parsed_coverage = parse_coverage(coverage)
    with connect() as client:
        name, path = find_or_create_library(client, folder, library)
        params = AnalysisParams(
            library=name,
            path=path,
            model=model,
            coverage=parsed_coverage,
            force=force,
            confirm_empty=confirm_empty,
        )
        job = follow(client, client.submit_analysis(params))
        if csv is not None:
            client.save_results(job.id, csv)
        if as_json:
            display.show_json(job)
        else:
            show_outcome(client, job)
        check_outcome(job)
        if not as_json:
            display.say(summary(job, None), "bold")


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
    refuse_moved(client, folder, known)
    taken = {library.name for library in known}
    base = folder.name or "music"
    name = next(
        candidate for candidate in (base, *(f"{base}-{n}" for n in range(2, 9999))) if candidate not in taken
    )
    return client.create_library(name, folder).name, ""


def refuse_moved(client: Client, folder: Path, known: list[schemas.Library]) -> None:
    """Raise UsageError if the folder holds the files of a library whose folder cannot be seen from here."""
    for library in known:
        if os.path.isdir(library.path):  # Path.is_dir raises an error where it may not look
            continue
        tracks = client.list_tracks({"library": library.name, "limit": COMPARED_TRACKS}).items
        found = sum(has_size(folder / track.path, track.size) for track in tracks)
        if 2 * found > len(tracks):
            name = shlex.quote(library.name)
            raise UsageError(
                f"It looks like the library {library.name} has moved: its folder {library.path} is not "
                f"there, or cannot be seen from here, and {found} of {len(tracks)} of its tracks are here. "
                f"`mfa libraries move {name} {shlex.quote(str(folder))}` says so, and nothing is analysed "
                "again; `--library NAME` makes another library of the folder."
            )


def has_size(file: Path, size: int) -> bool:
    """Whether there is a file of this size."""
    try:
        return file.stat().st_size == size
    except (OSError, ValueError):
        return False


def parse_coverage(coverage: str) -> Coverage:
    """`full`, or a number of windows."""
    if coverage == "full":
        return "full"
    if re.fullmatch(r"[1-9]\d{0,2}|1000", coverage):
        return Windows(windows=int(coverage))
    raise UsageError("--coverage is `full` or a number of windows from 1 to 1000.")


def show_outcome(client: Client, job: schemas.Job) -> None:
    """The tracks with labels and nearest track, then what failed and what was found on the way."""
    results = list(islice(client.iterate_results(job.id, similar=1), SHOWN_TRACKS))
    if results:
        show_results(results)
    labelled = job.progress.done + job.progress.skipped
    if labelled > len(results):
        display.say(f"... and {labelled - len(results)} more; `mfa jobs {job.id} --csv FILE` writes all.")
    show_warnings(client, job.id)
    if job.progress.failed:
        show_failures(client, job.id, job.progress.failed)
    show_findings(job)
    show_unreadable_tags(client, str(job.params["library"]))


def check_outcome(job: schemas.Job) -> None:
    """Raises ClientError when the job did not succeed or nothing is labelled."""
    if job.state == JobState.FAILED:
        raise ClientError(f"The job failed: {job.error.detail if job.error else 'no reason is known.'}")
    if job.state == JobState.CANCELLED:
        raise ClientError("The job was cancelled.")
    if not job.progress.done + job.progress.skipped and not count_missing(job):
        raise ClientError("Nothing was labelled: the folder holds no audio that can be read.")


def show_results(results: list[schemas.Result]) -> None:
    display.show_table(
        "",
        ("track", "top labels", "sounds most like"),
        ((result.path, display.labels_of(result), nearest(result)) for result in results),
    )


def nearest(result: schemas.Result) -> str:
    near = (result.similar or [])[:1]
    return f"{near[0].path} ({near[0].similarity:.2f})" if near else "-"


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
        display.say(f"... and {count - len(first)} more; `mfa jobs {job_id} --csv FILE` writes all.")


def show_failures(client: Client, job_id: UUID, count: int) -> None:
    items = client.list_failed(job_id, SHOWN_FAILURES).items
    display.show_table(
        f"Not labelled: {count}",
        ("file", "code", "why"),
        (
            (item.path, item.error.code if item.error else "", item.error.detail if item.error else "")
            for item in items
        ),
    )
    if count > len(items):
        display.say(f"... and {count - len(items)} more; `mfa jobs {job_id} --errors FILE` writes all.")


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
        display.say(f"`mfa tracks --library {shlex.quote(library)} --unreadable-tags` lists all.")


def summary(job: schemas.Job, audio_s: float | None) -> str:
    """How much was done in which time."""
    progress = job.progress
    parts = [f"{display.count_of(progress.done, 'track')} labelled"]
    if progress.skipped:
        parts.append(f"{progress.skipped} known already")
    if progress.failed:
        parts.append(f"{progress.failed} not labelled")
    text = ", ".join(parts)
    if job.started_at is None or job.finished_at is None:
        return text + "."
    took_s = (job.finished_at - job.started_at).total_seconds()
    text += f" in {took_s:.1f} s" if took_s < 60 else f" in {display.duration_of(took_s)}"
    if audio_s is not None:
        text += f", {display.duration_of(audio_s)} of audio"
        if took_s > 0 and not progress.skipped:  # what was skipped took no time
            text += f", {audio_s / took_s:.0f} times real time"
    return text + "."
