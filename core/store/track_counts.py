"""How many tracks libraries have, as sums of what triggers have written: see `TrackCount`."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from core.store.tables import Library, TrackCount

FEW = 100  # rows, which are summed in no time
PIECE = 50_000  # rows that are replaced at a time

_ADD_UP = text(
    """
    WITH first AS (SELECT id FROM track_counts ORDER BY id LIMIT :piece FOR UPDATE SKIP LOCKED),
    removed AS (
        DELETE FROM track_counts USING first WHERE first.id = track_counts.id
        RETURNING library_id, present, missing
    ),
    added AS (
        INSERT INTO track_counts (library_id, present, missing)
        SELECT library_id, sum(present), sum(missing) FROM removed GROUP BY library_id
        HAVING sum(present) <> 0 OR sum(missing) <> 0
    )
    SELECT count(*) FROM removed
    """
)


@dataclass(frozen=True)
class Counted:
    present: int
    missing: int


def count_tracks(session: Session) -> Mapping[UUID, Counted]:
    """The tracks of every library, by its id; exact."""
    present, missing = (func.coalesce(func.sum(each), 0) for each in (TrackCount.present, TrackCount.missing))
    sums = select(Library.id, present, missing).outerjoin(TrackCount, TrackCount.library_id == Library.id)
    return {
        library_id: Counted(int(present), int(missing))
        for library_id, present, missing in session.execute(sums.group_by(Library.id))
    }


def add_up_counts(session: Session) -> bool:
    """Replace up to `PIECE` rows by one for each library, unless there are few; whether there may be more.

    Others may do so at the same time.
    """
    if len(session.scalars(select(TrackCount.id).limit(FEW + 1)).all()) <= FEW:
        return False
    removed: int = session.execute(_ADD_UP, {"piece": PIECE}).scalar_one()
    return removed == PIECE
