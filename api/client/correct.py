"""The `correct` command: what you say of labels outranks every model."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from api import schemas
from api.client import display
from api.client.connection import connect
from api.client.http import Client, UsageError
from api.client.options import Json, refuse_others
from api.client.references import find_change
from api.client.track_names import find_track
from core.library.correction_files import signed
from core.states import Verdict

UNTAGGED = "no_genre_tag"  # the code of tracks that tags say nothing of: often most of a library
SHOWN_PROBLEMS = 20
SHOWN_LABELS = 10


def correct(
    context: typer.Context,
    track: Annotated[
        str | None, typer.Argument(help="Id of a track, path of its file, or path in its library.")
    ] = None,
    labels: Annotated[
        list[str] | None, typer.Argument(help="Like +jazz (yes), -rock (no), ?pop (unsure).")
    ] = None,
    note: Annotated[str | None, typer.Option(help="Kept in the history.")] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Instead: a file `path,label,verdict`, or `path,labels`.")
    ] = None,
    from_tags: Annotated[
        bool, typer.Option("--from-tags", help="Instead: take over the genre tags of a library.")
    ] = False,
    library: Annotated[str | None, typer.Option(help="Of --csv and --from-tags.")] = None,
    undo: Annotated[
        str | None,
        typer.Option(
            metavar="CHANGE",
            help="Instead: take back this change, by its id, the beginning of it, or `last`; "
            "`mfa changes` lists them.",
        ),
    ] = None,
    allow_new: Annotated[
        bool, typer.Option("--allow-new", help="Also labels that no label set and no model has.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count; with --csv and --from-tags.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say which labels a track has; that outranks every model."""
    if sum((track is not None, csv is not None, from_tags, undo is not None)) != 1:
        raise UsageError("Name one of TRACK, --csv FILE, --from-tags and --undo CHANGE.")
    if track is not None:
        refuse_others(context, "TRACK", {"track", "labels", "note", "allow_new", "as_json"})
        verdicts = read_arguments(track, labels or [])
        with connect() as client:
            correct_track(client, track, verdicts, note, allow_new=allow_new, as_json=as_json)
        return
    if undo is not None:
        refuse_others(context, "--undo", {"undo", "as_json"})
        with connect() as client:
            undo_change(client, find_change(client, undo), as_json=as_json)
        return
    mode = "csv" if csv is not None else "from_tags"
    refuse_others(
        context, f"--{mode.replace('_', '-')}", {mode, "library", "allow_new", "dry_run", "as_json"}
    )
    if library is None:
        raise UsageError("Name the --library.")
    with connect() as client:
        if csv is not None:
            done = client.import_corrections(library, read_text(csv), allow_new=allow_new, dry_run=dry_run)
        else:
            done = client.import_tags(library, allow_new=allow_new, dry_run=dry_run)
    show_import(done, dry_run=dry_run, as_json=as_json)


def read_arguments(track: str, words: Sequence[str]) -> dict[str, Verdict]:
    """Verdicts by label. Raises UsageError for what looks like an option, and if there is no label."""
    for word in (track, *words):
        if word.startswith("--"):
            raise UsageError(f"`mfa correct` has no option {word}; `mfa correct -h` lists them.")
    if not words:
        raise UsageError("Name the labels: `mfa correct TRACK +jazz -rock`.")
    return read_words(words)


def read_words(words: Iterable[str]) -> dict[str, Verdict]:
    """Verdicts by label, of words like `+jazz`, `-rock`, `?pop`. Raises UsageError for any other."""
    verdicts: dict[str, Verdict] = {}
    for label, verdict in map(signed, words):
        if not label:
            raise UsageError("A sign needs a label: `+jazz`, `-rock` or `?pop`.")
        if label in verdicts:
            raise UsageError(f"The label {label!r} is named twice.")
        verdicts[label] = verdict
    return verdicts


def correct_track(
    client: Client,
    name: str,
    verdicts: Mapping[str, Verdict],
    note: str | None,
    *,
    allow_new: bool,
    as_json: bool,
) -> None:
    track = find_track(client, name)
    done = client.correct_track(track.id, verdicts, note, allow_new=allow_new)
    if as_json:
        display.show_json(done)
        return
    show_labels(client.get_track(track.id))
    show_outcome(done)


def read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8: {error.reason} at byte {error.start}.") from None


def undo_change(client: Client, change: UUID, *, as_json: bool) -> None:
    done = client.undo_correction(change)
    if as_json:
        display.show_json(done)
    else:
        show_outcome(done)


def show_import(done: schemas.ImportOutcome, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        display.show_json(done)
        return
    without = [problem.path for problem in done.problems if problem.code == UNTAGGED]
    problems = [problem for problem in done.problems if problem.code != UNTAGGED]
    for problem in problems[:SHOWN_PROBLEMS]:
        line = f"line {problem.line}, " if problem.line else ""
        reason = problem.detail.replace(f": {problem.path!r}", "")  # which stands before it already
        display.say(f"{line}{problem.path}: {reason}")
    if len(problems) > SHOWN_PROBLEMS:
        display.say(f"... and {len(problems) - SHOWN_PROBLEMS} more; `--json` shows all.")
    for code, count in done.left_out.items():
        if code != UNTAGGED:
            display.say(f"Left out: {count} ({code}).", "red")
    if untagged := done.left_out.get(UNTAGGED):
        first = f", such as {without[0]}; `--json` lists them" if without else ""
        display.say(f"Left out: {display.count_of(untagged, 'track')} without a genre tag{first}.", "red")
    if dry_run:
        would = display.count_of(done.changed, "label")
        display.say(f"{display.count_of(done.rows, 'row')}; {would} would be changed. Nothing was changed.")
    else:
        show_outcome(done)


def show_outcome(done: schemas.CorrectionOutcome) -> None:
    kept = f", {done.unchanged} stayed as before" if done.unchanged else ""
    display.say(f"{display.count_of(done.changed, 'label')} changed{kept}.", "bold")
    if done.change is not None:
        display.say(f"`mfa correct --undo {done.change}` takes it back.")


def show_labels(track: schemas.Track) -> None:
    display.say(f"{track.path} in {track.library}", "bold")
    given = ", ".join(map(display.label_of, track.labels[:SHOWN_LABELS])) or "no label"
    refused = display.refused_of(track)
    display.say(given + (f"; not {refused}" if refused else ""))
