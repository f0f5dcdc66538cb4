"""What has failed in a job, by error code."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.states import ItemState
from core.store.tables import JobItem

MOST_COUNTED = 20_000  # failed items


@dataclass(frozen=True)
class FailureGroup:
    code: str
    detail: str | None  # the sentence of one of them
    items: int


def group_failures(session: Session, job_id: UUID) -> tuple[list[FailureGroup], bool]:
    """The groups, the largest first; and whether all are counted, or only the first `MOST_COUNTED`."""
    first = (
        select(JobItem.error_code, JobItem.error_detail)
        .where(JobItem.job_id == job_id, JobItem.state == ItemState.FAILED)
        .limit(MOST_COUNTED + 1)
        .subquery()
    )
    code, items = func.coalesce(first.c.error_code, "unknown"), func.count()
    groups = select(code, func.min(first.c.error_detail), items).group_by(code)
    found = [FailureGroup(*row) for row in session.execute(groups.order_by(items.desc(), code))]
    return found, sum(group.items for group in found) <= MOST_COUNTED
