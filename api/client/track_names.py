"""Which track is meant: by its id, the beginning of it, its file, or its path in a library."""

import re
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from api import schemas
from api.client.http import Client, ClientError, UsageError
from api.client.references import LAST, PREFIX, only_one
from core.spelling import nearest

SHORT = re.compile(r"[0-9a-f]{1,3}", re.IGNORECASE)
BEGINNING = 4  # characters of the name of a file, by which a mistyped one is looked for
LOOKED_AT = 1000  # tracks, of which the nearest is named

TrackName = Annotated[
    str,
    typer.Argument(metavar="TRACK", help="Its file, its path in its library, its id or the beginning of it."),
]


def find_track(client: Client, name: str, model: str | None = None) -> schemas.Track:
    """With what a model says of it, the default one if none is named. Raises ClientError."""
    try:
        return client.get_track(UUID(name), model)
    except ValueError:
        pass
    found = _at_path(client, name, model)
    if not found and PREFIX.fullmatch(name):
        named = client.list_tracks({"id_prefix": name, "limit": 2, "model": model}).items
        return client.get_track(only_one("track", name, [track.id for track in named]), model)
    if not found:
        raise ClientError(f"There is no track {name}{_hint(client, name, model)}")
    if len(found) > 1:
        ids = ", ".join(f"{track.id} ({track.library})" for track in found)
        raise UsageError(f"Several libraries have a track {name}; give an id: {ids}")
    return client.get_track(found[0].id, model)


def _hint(client: Client, name: str, model: str | None) -> str:
    """How to name a track instead: what comes near, or what can be given at all."""
    if name == LAST:
        return ": of tracks, none is the last one. Give its id, its file, or its path in its library."
    if SHORT.fullmatch(name):
        return ": of its id, four characters or more are needed."
    file = Path(name).name
    begins = {"q": file[:BEGINNING], "limit": LOOKED_AT, "model": model}
    alike = {Path(track.path).name: track.path for track in client.list_tracks(begins).items}
    if near := nearest(file, alike):
        return f"; did you mean {alike[near]!r}?"
    named = "give its id, its file, or its path in its library"
    return f": {named}; `mfa tracks --path PART` looks for a part of it."


def _at_path(client: Client, name: str, model: str | None) -> list[schemas.Track]:
    file = Path(name).expanduser().absolute()
    places = [file, file.resolve()]
    for library in client.list_libraries():
        for place in places:
            if place.is_relative_to(library.path):
                path = place.relative_to(library.path).as_posix()
                query = {"path": path, "library": library.name, "model": model}
                if found := client.list_tracks(query).items:
                    return found[:1]
    return client.list_tracks({"path": name, "model": model}).items
