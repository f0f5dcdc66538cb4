"""The `similar` command."""

from pathlib import Path
from uuid import UUID

from api import schemas
from api.client import display
from api.client.http import Client, ClientError


def show_similar(client: Client, name: str, limit: int) -> None:
    track = find_track(client, name)
    display.say(f"{track.path} in {track.library}", "bold")
    if track.prediction is not None:
        display.say(display.labels_of(track.prediction, top=10))
    display.show_table(
        "",
        ("similarity", "track", "library", "id"),
        (
            (f"{near.similarity:.3f}", near.path, near.library, str(near.track_id))
            for near in client.list_similar(track.id, limit)
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
