"""The `duplicates` command: groups of tracks that probably hold the same recording."""

from collections.abc import Iterator
from typing import Annotated

import typer

from api import schemas
from api.client import display
from api.client.connection import connect
from api.client.http import Client
from api.client.options import Json, OptionalLibrary
from api.client.progress import status

SHOWN_GROUPS = 50


def duplicates(
    library: OptionalLibrary = None,
    similar: Annotated[
        bool, typer.Option("--similar", help="Find encodings of one recording, not identical audio.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List tracks that probably hold the same recording."""
    most = None if as_json or not display.console.is_terminal else SHOWN_GROUPS
    with connect() as client:
        found, count = compare(client, "similar" if similar else "exact", library, most)
    if as_json:
        display.show_json(found)
        return
    if found.items:
        display.show_table(
            "",
            ("group", "audio", "similarity", "seconds", "MB", "track", "library"),
            (row for number, group in enumerate(found.items, 1) for row in _rows(number, group)),
        )
    rest = f" (the first {len(found.items)} are shown)" if count > len(found.items) else ""
    display.note(
        f"{found.compared} tracks compared, {count} groups of duplicates found{rest}. Nothing was changed."
    )


def compare(
    client: Client, kind: schemas.DuplicateKind, library: str | None, most: int | None
) -> tuple[schemas.Duplicates, int]:
    """Page by page, saying how far it is; at most `most` groups, and how many there are."""
    kept: list[schemas.DuplicateGroup] = []
    count = compared = 0
    cursor: str | None = None
    with status("comparing tracks") as tell:
        while True:
            page = client.list_duplicates(kind, library, cursor)
            count, compared = count + len(page.items), compared + page.compared
            kept += page.items if most is None else page.items[: most - len(kept)]
            cursor = page.next_cursor
            if cursor is None:
                return schemas.Duplicates(items=kept, compared=compared), count
            tell(f"{compared} tracks compared, {count} groups found")


def _rows(number: int, group: schemas.DuplicateGroup) -> Iterator[list[display.Cell]]:
    for track in group.tracks:
        yield [
            number,
            track.kind,
            track.similarity,
            display.tenths_of(track.duration_s),
            display.megabytes_of(track.size),
            track.path,
            track.library,
        ]
    if group.count > len(group.tracks):
        yield [number, None, None, None, None, f"... and {group.count - len(group.tracks)} more", None]
