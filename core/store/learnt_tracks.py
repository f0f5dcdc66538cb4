"""Which audio models have learnt from, so that nothing is measured on what is known by heart."""

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.store.tables import LearntTrack, Model

ROWS_PER_STATEMENT = 1000


def save_learnt_tracks(
    session: Session, model: Model, scores: Mapping[bytes, Sequence[float] | None]
) -> None:
    """Replace what is stored for a model: the audio that it has learnt from, by content hash.

    Scores (L,) are those of models that were not trained on the audio; None if there is none.
    """
    session.execute(delete(LearntTrack).where(LearntTrack.model_id == model.id))
    rows = [
        {"model_id": model.id, "content_hash": digest, "scores": scores[digest]} for digest in sorted(scores)
    ]
    for start in range(0, len(rows), ROWS_PER_STATEMENT):
        session.execute(insert(LearntTrack), rows[start : start + ROWS_PER_STATEMENT])


def knows_what_it_learnt(session: Session, model: Model) -> bool:
    """Whether it is stored which audio the model has learnt from."""
    return (
        session.scalar(select(LearntTrack.model_id).where(LearntTrack.model_id == model.id).limit(1))
        is not None
    )
