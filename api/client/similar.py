"""The `similar` command: the tracks that sound most like one."""

from typing import Annotated

import typer

from api.client import display
from api.client.connection import connect
from api.client.options import Json, Model, OptionalLibrary
from api.client.track_names import TrackName, find_track


def similar(
    track: TrackName,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many tracks to list.")] = 10,
    library: OptionalLibrary = None,
    model: Model = None,
    duplicates: Annotated[bool, typer.Option("--duplicates", help="Also list its duplicates.")] = False,
    as_json: Json = False,
) -> None:
    """List the tracks that sound most like one."""
    with connect() as client:
        found = find_track(client, track, model)
        near = client.list_similar(found.id, limit, library, model, duplicates=duplicates)
    if as_json:
        display.show_json(near)
        return
    display.note(f"{found.path} in {found.library}")
    if found.prediction is not None:
        display.note(display.labels_of(found.prediction, top=10))
    if not near.items:
        display.note("No other track of the same model is there to compare it with.")
        return
    display.show_table(
        "",
        ("similarity", "track", "library", "id"),
        ((each.similarity, each.path, each.library, each.track_id) for each in near.items),
    )
