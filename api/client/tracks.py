"""The `tracks` and `track` commands: search the tracks, export what is found, show one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from api import schemas
from api.client import display
from api.client.connection import connect
from api.client.http import Client, UsageError
from api.client.options import Json, OptionalLibrary
from api.client.playlists import write_m3u
from api.client.track_names import TrackName, find_track
from core.output.files import check_file, whole_file, write_csv
from core.states import TrackOrder, Verdict

SHOWN_TRACKS = 50
PAGE = 1000
CSV_COLUMNS = ("track_id", "library", "path", "duration_s", "labels", "model", "warnings")


def tracks(
    labels: Annotated[
        list[str] | None, typer.Argument(metavar="LABEL", help="Labels that the tracks all have.")
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option("--not", metavar="LABEL", help="A label that they do not have; may be repeated."),
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(min=0, max=1, help="Of each LABEL, unless a person gave it.")
    ] = None,
    max_score: Annotated[float | None, typer.Option(min=0, max=1, help="Like --min-score.")] = None,
    library: OptionalLibrary = None,
    text: Annotated[str | None, typer.Option(help="Part of the path, ignoring case.")] = None,
    unreadable_tags: Annotated[
        bool, typer.Option("--unreadable-tags", help="Only files whose tags cannot all be read.")
    ] = False,
    sort: Annotated[
        TrackOrder | None,
        typer.Option(help="By score of the first LABEL, by path, or by date of the file, the newest first."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help=f"How many; not given: {SHOWN_TRACKS} on a terminal, else all."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="What this model says, not the default one.")] = None,
    m3u: Annotated[
        Path | None,
        typer.Option("--m3u", metavar="FILE", callback=check_file, help="Write a playlist of them."),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", callback=check_file, help="Write them with their labels."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Search the tracks by labels, scores, library and path."""
    if not labels and (min_score is not None or max_score is not None):
        raise UsageError(
            "Scores are those of labels: name a LABEL, such as `mfa tracks jazz --min-score 0.5`."
        )
    query = {
        "genre": labels,
        "not_genre": without,
        "min_score": min_score,
        "max_score": max_score,
        "library": library,
        "q": text,
        "unreadable_tags": unreadable_tags or None,
        "sort": sort,
        "model": model,
    }
    goes_on = limit is None and (m3u is not None or csv is not None or not display.console.is_terminal)
    with connect() as client:
        found = Found(client, query, None if goes_on else limit or SHOWN_TRACKS)
        if m3u is None and csv is None and not as_json:
            show_tracks(found, client)
            return
        items = list(found)
        for sentence in export(client, items, m3u, csv):
            if not as_json:
                display.say(sentence)
        if as_json:
            display.show_json(schemas.Page(items=items, next_cursor=found.next_cursor))


class Found:
    """The tracks of a query, page by page; at most `most` of them, and then where the rest begins."""

    def __init__(self, client: Client, query: dict[str, Any], most: int | None) -> None:
        self._client, self._query, self._most = client, query, most
        self.next_cursor: str | None = None

    def __iter__(self) -> Iterator[schemas.Track]:
        count = 0
        while self._most is None or count < self._most:
            limit = PAGE if self._most is None else min(PAGE, self._most - count)
            page = self._client.list_tracks({**self._query, "limit": limit, "cursor": self.next_cursor})
            count += len(page.items)
            self.next_cursor = page.next_cursor
            yield from page.items
            if page.next_cursor is None:
                return


def show_tracks(found: Found, client: Client) -> None:
    items = list(found)
    if not items:
        display.note(why_none(client))
        return
    display.show_table(
        "",
        ("id", "track", "library", "labels"),
        ((track.id, track.path, track.library, labels_of(track)) for track in items),
    )
    if found.next_cursor:
        display.note(f"These are the first {len(items)} tracks; `--limit NUMBER` shows more.")


def why_none(client: Client) -> str:
    if not any(library.tracks for library in client.list_libraries()):
        return "There are no tracks yet: `mfa label FOLDER` finds and labels those of a folder."
    return "No track is like that; `mfa models show` lists the labels, `mfa libraries` the libraries."


def labels_of(track: schemas.Track) -> str:
    if not track.labels and track.prediction is None:
        return "not analysed"
    said = ", ".join(map(display.label_of, track.labels[: display.TOP_LABELS])) or "no label"
    given = {label.label for label in track.labels}
    scores = (track.prediction.scores or {}).items() if track.prediction else ()
    asked = [f"{label} {score:.2f}" for label, score in scores if label not in given]
    return f"{said}; not given: {', '.join(asked)}" if asked else said


def export(client: Client, found: list[schemas.Track], m3u: Path | None, csv: Path | None) -> Iterator[str]:
    """Write the files; a sentence on each."""
    if m3u is not None:
        folders = {library.name: Path(library.path) for library in client.list_libraries()}
        with whole_file(m3u) as out:
            write_m3u(out, found, folders)
        yield f"{len(found)} tracks are in the playlist {m3u}."
    if csv is not None:
        count = write_csv(csv, CSV_COLUMNS, map(csv_row, found))
        yield f"{count} tracks are in {csv}."


def csv_row(track: schemas.Track) -> tuple[object, ...]:
    said = track.prediction
    return (
        str(track.id),
        track.library,
        track.path,
        said.duration_s if said else None,
        "; ".join(f"{given.label}={given.score}" for given in track.labels),
        said.model if said else None,
        " ".join(said.warnings) if said else None,
    )


def track(
    name: TrackName,
    model: Annotated[str | None, typer.Option(help="What this model says, not the default one.")] = None,
    as_json: Json = False,
) -> None:
    """Show the labels, scores, corrections and tags of a track."""
    with connect() as client:
        found = find_track(client, name, model)
        if as_json:
            display.show_json(found)
        else:
            show_track(found)


def show_track(found: schemas.Track) -> None:
    gone = ", missing when the library was last listed" if found.missing else ""
    display.say(f"{found.path} in {found.library}{gone}", "bold")
    display.say(f"track {found.id}, {found.size / 1e6:.1f} MB")
    said = found.prediction
    if said is None:
        display.say(f"Not analysed yet: `mfa label FOLDER` labels the library {found.library}.")
    else:
        display.say(f"{display.duration_of(said.duration_s)} of audio, labelled by {said.model}")
        for warning in said.warnings:
            display.say(f"Warning: {warning}", "yellow")
    display.say(f"labels: {', '.join(map(display.label_of, found.labels)) or 'none'}")
    refused = [label for label, verdict in found.corrections.items() if verdict == Verdict.NO]
    if refused:
        display.say(f"refused by a person: {', '.join(refused)}")
    if found.tags_error:
        display.say(f"Tags: {found.tags_error}", "yellow")
    for key, value in (found.tags or {}).items():
        display.say(f"{key}: {'; '.join(map(str, value)) if isinstance(value, list) else value}")
    if said is not None and said.scores:
        by_score = sorted(said.scores.items(), key=lambda each: -each[1])
        display.show_table("Scores", ("label", "score"), by_score)
