"""The `map` command: draw the map of the tracks."""

from urllib.parse import urlencode

from api import schemas
from api.client import display
from api.client.connection import connect
from api.client.options import Json, Model, OptionalLibrary
from api.client.progress import follow, result_of
from core.config.params import MapParams


def draw(library: OptionalLibrary = None, model: Model = None, as_json: Json = False) -> None:
    """Draw the map of all tracks, or of a library, on which those that sound alike lie near each other."""
    asked = {"library": library, "model": model}
    given = {name: value for name, value in asked.items() if value is not None}
    with connect() as client:
        job = follow(client, client.submit_map(MapParams.model_validate(given)))
        address = f"{client.url.rstrip('/')}/map" + (f"?{urlencode(given)}" if given else "")
    if as_json:
        display.show_json(job)
    outcome = result_of(job, schemas.MapOutcome, "map")
    if not as_json:
        show_map(outcome)
        display.say(f"Look at it: {address}", "bold")


def show_map(found: schemas.MapOutcome) -> None:
    """What is on the map, what is not, and how far to trust it."""
    display.say(f"{display.count_of(found.points, 'point')}, by the embeddings of {found.model}.")
    without = found.not_analysed + found.no_embedding
    if without:
        why = f"{found.not_analysed} not analysed yet, {found.no_embedding} without an embedding by the model"
        display.say(f"Of {found.tracks} tracks, {without} have no point: {why}.")
    if found.trustworthiness is not None:
        display.say(
            f"Trustworthiness {found.trustworthiness:.2f}: 1 if what lies near sounds near, 0.5 at random."
        )
