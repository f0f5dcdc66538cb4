"""Tracks within an area of a map."""

from sqlalchemy import ColumnElement, func, literal_column, select
from sqlalchemy.orm import Session

from core.areas import Area
from core.errors import Invalid
from core.store.tables import Map, MapPoint, Track

FEW = 2000  # points of an area that the tracks are looked up by


def lies_in(session: Session, area: Area) -> ColumnElement[bool]:
    """Whether the audio of a track lies in an area. Raises Invalid if its map has been replaced."""
    if session.scalar(select(Map.id).where(Map.id == area.map_id)) is None:
        raise Invalid("The map of this area is gone, as a newer one was drawn: mark the area on that.")
    xs, ys = zip(*area.corners, strict=True)
    corners = ",".join(f"({x:d},{y:d})" for x, y in area.corners)
    inside = func.point(MapPoint.x, MapPoint.y).bool_op("<@")(literal_column(f"'({corners})'::polygon"))
    here = select(MapPoint.content_hash).where(
        MapPoint.map_id == area.map_id,
        MapPoint.x.between(min(xs), max(xs)),
        MapPoint.y.between(min(ys), max(ys)),
        inside,
    )
    if len(session.scalars(here.limit(FEW + 1)).all()) <= FEW:
        return Track.content_hash.in_(here)
    # A scalar: of many points the planner would look up all tracks before it gives the first.
    found = here.where(MapPoint.content_hash == Track.content_hash).correlate(Track).limit(1)
    return found.scalar_subquery().is_not(None)
