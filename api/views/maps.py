"""Maps as response shapes."""

from api import schemas
from core.store import tables


def found_map(row: tables.Map, library: str | None) -> schemas.Map:
    return schemas.Map(
        map_id=row.id,
        model=row.model,
        library=library,
        points=row.points,
        drawn_at=row.completed_at,
        seed=row.seed,
        labels=row.labels,
        **row.facts,
    )
