"""Which audio models were trained on, so that nothing is measured on training data."""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import LargeBinary, any_, cast, delete, exists, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import Session, aliased

from core.store.tables import Model, TrainingTrack


def save_training_tracks(
    session: Session, model: Model, scores: Mapping[bytes, Sequence[float | None] | None]
) -> None:
    """Store audio that a model was trained on, by content hash; what is stored of it is replaced.

    Scores (L,) are those of models that were not trained on the audio; None if there is none, or if they had
    not learnt the label.
    """
    statement = insert(TrainingTrack)
    keys = [TrainingTrack.model_id, TrainingTrack.content_hash]
    again = statement.on_conflict_do_update(index_elements=keys, set_={"scores": statement.excluded.scores})
    rows = [
        {"model_id": model.id, "content_hash": digest, "scores": scores[digest]} for digest in sorted(scores)
    ]
    if rows:
        session.execute(again, rows)


def has_training_tracks(session: Session, model: Model) -> bool:
    """Whether it is stored which audio the model, or another version with its weights, was trained on."""
    equal = (TrainingTrack.model_id == Model.id) & (Model.sha256 == model.sha256)
    return bool(session.scalar(select(exists().where(equal))))


def find_training_tracks(
    session: Session, model: Model, content_hashes: Iterable[bytes]
) -> dict[bytes, Sequence[float | None] | None]:
    """Which of the audio the model, or another version with its weights, was trained on.

    With scores (L,) as `save_training_tracks` stores them.
    """
    digests = cast(list(content_hashes), ARRAY(LargeBinary))
    query = (
        select(TrainingTrack.content_hash, TrainingTrack.scores)
        .join(Model, Model.id == TrainingTrack.model_id)
        .where(Model.sha256 == model.sha256, TrainingTrack.content_hash == any_(digests))
        .order_by(TrainingTrack.model_id == model.id)  # its own last, which then counts
    )
    return {digest: scores for digest, scores in session.execute(query)}


def move_training_tracks(session: Session, old: bytes, new: bytes) -> None:
    """Move what is stored of some audio from one key to another; of two scores those of the new key stay."""
    other = aliased(TrainingTrack)
    present = exists().where(other.model_id == TrainingTrack.model_id, other.content_hash == new)
    # The primary key begins with the model.
    moved = (TrainingTrack.model_id.in_(select(Model.id)), TrainingTrack.content_hash == old)
    unsynchronized = {"synchronize_session": False}
    session.execute(delete(TrainingTrack).where(*moved, present), execution_options=unsynchronized)
    session.execute(
        update(TrainingTrack).where(*moved).values(content_hash=new), execution_options=unsynchronized
    )
