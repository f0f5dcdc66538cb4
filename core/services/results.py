"""What a job has labelled, track by track."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.orm import Session

from core.jobs.items import after_position, items_in_order
from core.states import ItemState
from core.store.corrections import Corrections, as_corrections, corrections_of
from core.store.tables import Job, JobItem, Library, Prediction, Track

Position = tuple[int, int]  # unit id and position in the unit: the order of a job's items
BEFORE_ALL: Position = (0, -1)


@dataclass(frozen=True)
class ResultRow:
    track_id: UUID
    path: str
    duration_s: float
    scores: list[float]
    warnings: list[str]
    corrections: Corrections


def list_results(
    session: Session, job: Job, after: Position, limit: int, *, only_with_warnings: bool = False
) -> list[tuple[Position, ResultRow]]:
    """The next labelled tracks of a job after a position, each with its own position."""
    of_item = (Prediction.content_hash == JobItem.content_hash) & (Prediction.model_id == job.model_id)
    query = (
        items_in_order(job.id, limit)
        .add_columns(Track.id, Track.path, Prediction.duration_s, Prediction.scores, Prediction.warnings)
        .add_columns(corrections_of(JobItem.content_hash))
        .join(Track, Track.id == JobItem.track_id)
        .join(Library, Library.id == Track.library_id)
        .join(Prediction, of_item)
        .where(JobItem.state.in_((ItemState.DONE, ItemState.SKIPPED)))
    )
    if only_with_warnings:
        query = query.where(Prediction.warnings != [])
    rows = session.execute(after_position(query, after))
    return [((row[0], row[1]), _result(*row[2:])) for row in rows]


def _result(
    track_id: UUID,
    path: str,
    duration_s: float,
    scores: list[float],
    warnings: list[str],
    corrections: dict[str, str] | None,
) -> ResultRow:
    return ResultRow(track_id, path, duration_s, scores, warnings, as_corrections(corrections))
