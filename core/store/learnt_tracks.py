"""Which audio models have learnt from, so that nothing is measured on what is known by heart."""

from collections.abc import Mapping, Sequence

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.store.tables import LearntTrack, Model


def save_learnt_tracks(
    session: Session, model: Model, scores: Mapping[bytes, Sequence[float] | None]
) -> None:
    """Store audio that a model has learnt from, by content hash; what is stored of it is replaced.

    Scores (L,) are those of models that were not trained on the audio; None if there is none.
    """
    statement = insert(LearntTrack)
    keys = [LearntTrack.model_id, LearntTrack.content_hash]
    again = statement.on_conflict_do_update(index_elements=keys, set_={"scores": statement.excluded.scores})
    rows = [
        {"model_id": model.id, "content_hash": digest, "scores": scores[digest]} for digest in sorted(scores)
    ]
    if rows:
        session.execute(again, rows)
