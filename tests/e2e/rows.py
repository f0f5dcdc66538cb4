"""What must be true of every ended batch job, read from the rows themselves."""

from collections import Counter
from operator import ge
from uuid import UUID

from sqlalchemy import func, select

from core.states import TERMINAL_UNIT_STATES, ItemState
from core.store.session import SessionFactory
from core.store.tables import Job, JobItem, JobUnit, Model, Prediction, PredictionLabel


def assert_nothing_lost_or_doubled(sessions: SessionFactory, job_id: str, tracks: int) -> Counter[str]:
    """Every track has one outcome, every success one result, and the counters equal the rows."""
    job_key = UUID(job_id)
    with sessions() as session:
        job = session.get_one(Job, job_key)
        items = session.scalars(select(JobItem).where(JobItem.job_id == job_key)).all()
        units = session.scalars(select(JobUnit).where(JobUnit.job_id == job_key)).all()
        analysed = [item.content_hash for item in items if item.state in (ItemState.DONE, ItemState.SKIPPED)]
        results = session.scalars(
            select(Prediction.scores).where(
                Prediction.content_hash.in_(analysed), Prediction.model_id == job.model_id
            )
        ).all()
        thresholds = session.get_one(Model, job.model_id).thresholds
        labelled = session.scalar(
            select(func.count(func.distinct(PredictionLabel.content_hash))).where(
                PredictionLabel.content_hash.in_(analysed), PredictionLabel.model_id == job.model_id
            )
        )
    states = Counter(item.state for item in items)
    assert job.total == len(items) == tracks
    assert len({item.track_id or item.path for item in items}) == tracks
    assert states[ItemState.PENDING] == 0
    assert {unit.state for unit in units} <= TERMINAL_UNIT_STATES
    for unit in units:
        own = Counter(item.state for item in items if item.unit_id == unit.id)
        assert (unit.done, unit.failed, unit.skipped) == (
            own[ItemState.DONE],
            own[ItemState.FAILED],
            own[ItemState.SKIPPED],
        )
    assert None not in analysed
    assert len(results) == len(set(analysed))
    assert labelled == sum(any(map(ge, scores, thresholds)) for scores in results)
    return states
