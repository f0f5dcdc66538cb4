"""The `tracks` and `track` commands: search the tracks, export what is found, show one."""

import math
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from api import schemas
from api.client import display, queries
from api.client.connection import connect
from api.client.http import Client, Refused, UsageError
from api.client.lists import PAGE, Pages, most_of, show_list
from api.client.options import Json, Model, OptionalLibrary, refuse_others
from api.client.playlists import m3u_file
from api.client.progress import status
from api.client.track_names import TrackName, find_track
from core.errors import Invalid
from core.label_scores import FORMS, LabelScores, read_label
from core.output.files import check_file, csv_file
from core.spelling import name_key
from core.states import TrackOrder

SHOWN_TRACKS = 50
CSV_COLUMNS = ("track_id", "library", "path", "duration_s", "labels", "model", "warnings")


def tracks(
    context: typer.Context,
    labels: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="LABEL",
            help="Labels that the tracks all have; `sad:0.4..` or `sad:0.2..0.6` for a range of scores.",
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option("--not", metavar="LABEL", help="A label that they do not have; may be repeated."),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Of each LABEL without a range, unless a person gave it."),
    ] = None,
    max_score: Annotated[float | None, typer.Option(min=0, max=1, help="Like --min-score.")] = None,
    library: OptionalLibrary = None,
    text: Annotated[
        str | None,
        typer.Option(help="Words, or beginnings of them, all in path, title, artist, album, genre or date."),
    ] = None,
    path: Annotated[str | None, typer.Option(metavar="PART", help="Part of the path, ignoring case.")] = None,
    unreadable_tags: Annotated[
        bool, typer.Option("--unreadable-tags", help="Only files whose tags cannot all be read.")
    ] = False,
    sort: Annotated[
        TrackOrder | None,
        typer.Option(help="By score of the first LABEL, by path, by date of the file, or the longest first."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help=f"How many; not given: {SHOWN_TRACKS} on a terminal, else all."),
    ] = None,
    model: Model = None,
    query: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Those of a saved query instead; `mfa queries` lists them."),
    ] = None,
    save_as: Annotated[
        str | None, typer.Option(metavar="NAME", help="Save this search as a query, also for the pages.")
    ] = None,
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
    """Search the tracks by labels, scores, library, path and tags."""
    check_scores(labels, min_score, max_score, sort)
    asked = {label_in(each) for each in labels or ()}
    if query is not None:
        refuse_others(context, "--query", {"query", "limit", "m3u", "csv", "as_json"})
    if save_as is not None:
        queries.check_name(save_as)
    asked_for: dict[str, Any] = {
        "genre": labels,
        "not_genre": without,
        "min_score": min_score,
        "max_score": max_score,
        "library": library,
        "text": text,
        "q": path,
        "unreadable_tags": unreadable_tags or None,
        "sort": sort,
        "model": model,
    }
    to_file = m3u is not None or csv is not None
    most = limit if to_file else most_of(limit, SHOWN_TRACKS)
    with connect() as client, hinting_at_ranges([*(labels or ()), *(without or ())]):
        if query is not None:
            asked_for = queries.read(client, query)
            asked = {label_in(each) for each in asked_for.get("genre") or ()}
        if save_as is not None:
            client.list_tracks({**asked_for, "limit": 1})  # what the server refuses to ask is not saved
            queries.save(client, save_as, asked_for)
        found = Pages(partial(read_page, client, asked_for), most)
        if to_file:
            export(client, found, m3u, csv, as_json=as_json)
        else:
            show_list(
                found,
                ("id", "track", "library", "labels"),
                lambda track: (track.id, track.path, track.library, labels_of(track, asked)),
                as_json=as_json,
                when_empty=lambda: why_none(client, asked_for),
            )


def check_scores(
    labels: list[str] | None, min_score: float | None, max_score: float | None, sort: TrackOrder | None
) -> None:
    """Raises UsageError if scores are asked for without a label, or none lies in the range."""
    if not labels and (min_score is not None or max_score is not None):
        raise UsageError(
            "Scores are those of labels: name a LABEL, such as `mfa tracks jazz --min-score 0.5`."
        )
    if sort is TrackOrder.SCORE and not labels:
        raise UsageError("Only tracks of a label have an order by score: name a LABEL.")
    if min_score is not None and max_score is not None and min_score > max_score:
        raise UsageError("--min-score is higher than --max-score, so no score lies between them.")


@contextmanager
def hinting_at_ranges(labels: list[str]) -> Iterator[None]:
    """Say how ranges of scores are written if one was meant by a label that nobody knows."""
    try:
        yield
    except Refused as error:
        if any(":" in label and repr(label) in str(error) for label in labels):
            raise UsageError(f"{error} Ranges of scores are written as in {FORMS}.") from None
        raise


def label_in(text: str) -> str:
    """The key of the label in an argument like `jazz` or `jazz:0.2..0.6`. Raises UsageError."""
    try:
        read = read_label(text)
    except Invalid as error:
        raise UsageError(error.detail) from None
    return name_key(read if isinstance(read, str) else read.label)


def read_page(
    client: Client, query: dict[str, Any], limit: int, cursor: str | None
) -> schemas.Page[schemas.Track]:
    return client.list_tracks({**query, "limit": limit, "cursor": cursor})


def why_none(client: Client, query: Mapping[str, Any]) -> str:
    if not any(library.tracks for library in client.list_libraries()):
        return "There are no tracks yet: `mfa label FOLDER` finds and labels those of a folder."
    said = nearest_below(client, query) or (
        "No track is like that; `mfa models show` lists the labels, `mfa libraries` the libraries."
    )
    return " ".join((said, *unlabelled(client, query.get("model"))))


def nearest_below(client: Client, query: Mapping[str, Any]) -> str | None:
    """If nothing but one label was asked for: its highest score, and how to ask for such scores."""
    labels = query.get("genre") or []
    if any(value for name, value in query.items() if name not in ("genre", "sort")):
        return None
    if len(labels) != 1 or not isinstance(read_label(labels[0]), str):
        return None
    (label,) = labels
    any_score = {**query, "genre": str(LabelScores(label, 0.0)), "sort": TrackOrder.SCORE, "limit": 1}
    highest = [
        score
        for track in client.list_tracks(any_score).items
        for name, score in ((track.prediction and track.prediction.scores) or {}).items()
        if name_key(name) == name_key(label)
    ]
    if not highest or highest[0] <= 0:
        return None
    least = rounded_down(highest[0])
    return (
        f"No track is given {label}. Where nobody said otherwise, its highest score is {highest[0]:.3g}: "
        f"`mfa tracks {shlex.quote(f'{label}:{least}..')}` finds it."
    )


def rounded_down(score: float) -> str:
    """To two decimals, or one digit behind the zeros, as a plain number that is not higher."""
    places = max(2, -math.floor(math.log10(score)))
    return f"{math.floor(score * 10**places) / 10**places:.{places}f}"


def unlabelled(client: Client, model: str | None = None) -> list[str]:
    """A sentence if the first track waits for its labels, as all do after a promotion."""
    if all(
        track.prediction or track.failure for track in client.list_tracks({"limit": 1, "model": model}).items
    ):
        return []
    of, option = ("the default model", "") if model is None else (model, f" --model {model}")
    return [f"Some tracks have not been labelled by {of} yet: `mfa label FOLDER{option}` does that."]


def labels_of(track: schemas.Track, asked: Collection[str] = ()) -> str:
    """Those that were asked for, by their keys, also where they are not given; then the highest others."""
    if not track.labels and track.prediction is None:
        return "not analysed"
    given = {label.label for label in track.labels}
    scores = (track.prediction.scores or {}).items() if track.prediction else ()
    below = [f"{label} {score:.2f} (not given)" for label, score in scores if label not in given]
    labels = sorted(track.labels, key=lambda label: name_key(label.label) not in asked)
    wanted = sum(name_key(label) in asked for label in given)
    shown = map(display.label_of, labels[: max(display.TOP_LABELS, wanted)])
    return ", ".join((*below, *shown)) or "no label"


def export(
    client: Client, found: Pages[schemas.Track], m3u: Path | None, csv: Path | None, *, as_json: bool
) -> None:
    """Write the files track by track; they appear when all are written."""
    kept: list[schemas.Track] = []
    with ExitStack() as files, status("writing the tracks") as tell:
        writers: list[Callable[[schemas.Track], object]] = [kept.append] if as_json else []
        if m3u is not None:
            folders = {library.name: Path(library.path) for library in client.list_libraries()}
            writers.append(files.enter_context(m3u_file(m3u, folders)))
        if csv is not None:
            write_row = files.enter_context(csv_file(csv, CSV_COLUMNS))
            writers.append(lambda track: write_row(csv_row(track)))
        for number, track in enumerate(found, 1):
            for write in writers:
                write(track)
            if number % PAGE == 0:
                tell(f"{number} tracks written")
    if as_json:
        display.show_json(schemas.Page(items=kept, next_cursor=found.next_cursor))
        return
    for file in filter(None, (m3u, csv)):
        display.say(f"{found.count} tracks are in {'the playlist ' if file == m3u else ''}{file}.")


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


def track(name: TrackName, model: Model = None, as_json: Json = False) -> None:
    """Show the labels, scores, corrections and tags of a track."""
    with connect() as client:
        found = find_track(client, name, model)
        if as_json:
            display.show_json(found)
            return
        show_track(found)
        if found.corrections:
            show_corrections(client.get_labels(found.id))


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
    if refused := display.refused_of(found):
        display.say(f"refused by a person: {refused}")
    if found.tags_error:
        display.say(f"Tags: {found.tags_error}", "yellow")
    for key, value in (found.tags or {}).items():
        display.say(f"{key}: {'; '.join(map(str, value)) if isinstance(value, list) else value}")
    if said is not None and said.scores:
        by_score = sorted(said.scores.items(), key=lambda each: -each[1])
        display.show_table("Scores", ("label", "score"), by_score)


def show_corrections(said: schemas.TrackLabels) -> None:
    """What people said; `mfa correct --undo CHANGE` takes it back."""
    display.show_table(
        "Corrections",
        ("label", "verdict", "change", "by", "made"),
        (
            (each.label, each.verdict, each.change.id, each.change.author, each.change.created_at)
            for each in said.corrections
        ),
    )
