"""Which track is meant: by its id, the beginning of it, its file, or its path in a library."""

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from api import schemas
from api.client.http import Client, ClientError, UsageError
from api.client.references import PREFIX, only_one

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
        raise ClientError(f"There is no track {name}: give its id, its file, or its path in its library.")
    if len(found) > 1:
        ids = ", ".join(f"{track.id} ({track.library})" for track in found)
        raise UsageError(f"Several libraries have a track {name}; give an id: {ids}")
    return client.get_track(found[0].id, model)


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
