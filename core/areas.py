"""Areas of a map, as polygons in text."""

from dataclasses import dataclass
from uuid import UUID

from core.errors import Invalid

FEWEST_CORNERS, MOST_CORNERS = 3, 100
AREA = r"^[0-9a-fA-F-]{36}:[0-9]{1,5}(,[0-9]{1,5}){5,199}$"  # `MAP:x,y,x,y,...`


@dataclass(frozen=True)
class Area:
    """A polygon on a map, whose last corner is joined to the first one."""

    map_id: UUID
    corners: tuple[tuple[int, int], ...]


def parse_area(text: str | None) -> Area | None:
    """The area that `MAP:x,y,x,y,...` means. Raises Invalid."""
    if text is None:
        return None
    name, _, numbers = text.partition(":")
    try:
        map_id, places = UUID(name), [int(number) for number in numbers.split(",")]
    except ValueError:
        raise Invalid("`area` is the id of a map, a colon, and x and y of each corner.") from None
    if len(places) % 2 or not 2 * FEWEST_CORNERS <= len(places) <= 2 * MOST_CORNERS:
        raise Invalid(f"`area` has from {FEWEST_CORNERS} to {MOST_CORNERS} corners, each with x and y.")
    return Area(map_id, tuple(zip(places[::2], places[1::2], strict=True)))
