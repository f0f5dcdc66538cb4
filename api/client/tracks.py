"""The `similar` and `duplicates` commands."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from api import schemas
from api.client import display
from api.client.http import Client, ClientError

SHOWN_GROUPS = 50


def show_similar(client: Client, name: str, limit: int, *, duplicates: bool) -> None:
    track = find_track(client, name)
    display.say(f"{track.path} in {track.library}", "bold")
    if track.prediction is not None:
        display.say(display.labels_of(track.prediction, top=10))
    display.show_table(
        "",
        ("similarity", "track", "library", "id"),
        (
            (f"{near.similarity:.3f}", near.path, near.library, str(near.track_id))
            for near in client.list_similar(track.id, limit, duplicates=duplicates)
        ),
    )


def find_track(client: Client, name: str) -> schemas.Track:
    """The track of an id, of a file on this machine, or of a path in a library."""
    try:
        return client.get_track(UUID(name))
    except ValueError:
        pass
    file = Path(name).expanduser().resolve()
    for library in client.list_libraries():
        if file.is_relative_to(library.path):
            found = client.find_tracks(file.relative_to(library.path).as_posix(), library.name)
            if found:
                return found[0]
    found = client.find_tracks(name)
    if not found:
        raise ClientError(f"There is no track {name}: give its id, its file, or its path in its library.")
    if len(found) > 1:
        ids = ", ".join(f"{track.id} ({track.library})" for track in found)
        raise ClientError(f"Several libraries have a track {name}; give an id: {ids}")
    return found[0]


def show_duplicates(client: Client, kind: schemas.DuplicateKind, library: str | None) -> None:
    """Compare page by page, saying how far it is; show the first groups and how many there are."""
    shown: list[schemas.DuplicateGroup] = []
    found = compared = 0
    cursor: str | None = None
    with display.console.status("comparing tracks") as status:
        while True:
            page = client.list_duplicates(kind, library, cursor)
            found, compared = found + len(page.items), compared + page.compared
            shown += page.items[: SHOWN_GROUPS - len(shown)]
            cursor = page.next_cursor
            if cursor is None:
                break
            status.update(f"{compared} tracks compared, {found} groups found")
    if shown:
        display.show_table(
            "",
            ("group", "audio", "similarity", "duration", "MB", "track", "library"),
            (row for number, group in enumerate(shown, 1) for row in _rows(number, group)),
        )
    rest = f" (the first {len(shown)} are shown)" if found > len(shown) else ""
    display.say(f"{compared} tracks compared, {found} groups of duplicates found{rest}. Nothing was changed.")


def _rows(number: int, group: schemas.DuplicateGroup) -> Iterator[list[str]]:
    for track in group.tracks:
        yield [
            str(number),
            track.kind,
            display.number_of(track.similarity),
            "–" if track.duration_s is None else f"{track.duration_s:.1f} s",
            f"{track.size / 1e6:.1f}",
            track.path,
            track.library,
        ]
    if group.count > len(group.tracks):
        yield [str(number), "", "", "", "", f"… and {group.count - len(group.tracks)} more", ""]
