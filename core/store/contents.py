"""Known files by their hash, and moving results and corrections from other keys to audio hashes."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, exists, select, text, union, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from core.library.content import TAGS_VERSION
from core.store.correction_changes import move_corrections
from core.store.review_leases import move_review
from core.store.tables import (
    Correction,
    CorrectionEntry,
    Embedding,
    Job,
    JobItem,
    MapPoint,
    Prediction,
    PredictionLabel,
    Track,
)
from core.store.training_tracks import move_training_tracks

# Matches the expression of the partial index, so that the planner uses it.
_IS_RESULT_OF = text("kind = 'predict' AND result ->> 'content_hash' = :content_hash")
_ATTEMPTS = 5  # for a key that is written concurrently


@dataclass(frozen=True)
class KnownContent:
    """Audio hash and tags of a file with the same bytes."""

    content_hash: bytes
    tags: dict[str, Any]
    tags_error: str | None
    tags_version: int = TAGS_VERSION


def find_known_files(session: Session, file_hashes: Collection[bytes]) -> dict[bytes, KnownContent]:
    """Known contents by file hash, as read by the current version."""
    rows = session.execute(
        select(Track.file_hash, Track.content_hash, Track.tags, Track.tags_error)
        .ext(distinct_on(Track.file_hash))
        .where(
            Track.file_hash.in_(file_hashes),
            Track.content_hash.is_not(None),
            Track.content_hash != Track.file_hash,
            Track.tags_version == TAGS_VERSION,
        )
    )
    return {row.file_hash: KnownContent(row.content_hash, row.tags or {}, row.tags_error) for row in rows}


def find_old_keys(session: Session, keys: Collection[bytes]) -> set[bytes]:
    """Those of these keys under which results are stored, or somebody corrected them."""
    found = union(
        *(
            select(table.content_hash).where(table.content_hash.in_(keys))
            for table in (Prediction, Embedding, Correction, CorrectionEntry, Track)
        )
    )
    return set(session.scalars(found))


def move_results(session: Session, contents: Mapping[bytes, bytes]) -> None:
    """Move results and corrections to audio hashes from what stood for them (old key -> new key).

    If both keys have a result, the one with full coverage is kept. Idempotent, and safe while other workers
    move or write the same results.
    """
    outdated = {old: new for old, new in contents.items() if old != new}
    for old in sorted(find_old_keys(session, outdated)):
        _move(session, old, outdated[old])


def _move(session: Session, old: bytes, new: bytes) -> None:
    # First: whoever corrects one of these tracks holds it until that is there.
    for table in (Track, JobItem, MapPoint):
        session.execute(
            update(table).where(table.content_hash == old).values(content_hash=new),
            execution_options={"synchronize_session": False},
        )
    for attempt in range(_ATTEMPTS):
        try:
            with session.begin_nested():
                _move_predictions(session, old, new)
                _move_embeddings(session, old, new)
                move_review(session, old, new)
                move_corrections(session, old, new)
                move_training_tracks(session, old, new)
            break
        except IntegrityError:  # another worker has just written under the new key
            if attempt == _ATTEMPTS - 1:
                raise
    session.execute(
        update(Job)
        .where(_IS_RESULT_OF.bindparams(content_hash=old.hex()))
        .values(result=Job.result.concat({"content_hash": new.hex()})),
        execution_options={"synchronize_session": False},
    )


def _move_predictions(session: Session, old: bytes, new: bytes) -> None:
    """Move predictions with their labels; of two predictions the worse one is deleted."""
    here, there = _coverages(session, old), _coverages(session, new)
    for model_id in here.keys() & there.keys():
        loser = new if here[model_id] == "full" != there[model_id] else old
        for table in (PredictionLabel, Prediction):
            session.execute(
                delete(table).where(table.content_hash == loser, table.model_id == model_id),
                execution_options={"synchronize_session": False},
            )
    for table in (Prediction, PredictionLabel):
        session.execute(
            update(table).where(table.content_hash == old).values(content_hash=new),
            execution_options={"synchronize_session": False},
        )


def _coverages(session: Session, content_hash: bytes) -> dict[int, str]:
    """Coverage of the results under a key by model; locks them until the transaction ends."""
    rows = session.execute(
        select(Prediction.model_id, Prediction.coverage)
        .where(Prediction.content_hash == content_hash)
        .order_by(Prediction.model_id)
        .with_for_update()
    )
    return {model_id: coverage for model_id, coverage in rows}


def _move_embeddings(session: Session, old: bytes, new: bytes) -> None:
    other = aliased(Embedding)
    same_encoder = other.encoder_id == Embedding.encoder_id
    beaten = exists().where(same_encoder, other.content_hash == old, other.coverage == "full")
    present = exists().where(same_encoder, other.content_hash == new)
    unsynchronized = {"synchronize_session": False}
    session.execute(
        delete(Embedding).where(Embedding.content_hash == new, Embedding.coverage != "full", beaten),
        execution_options=unsynchronized,
    )
    session.execute(
        delete(Embedding).where(Embedding.content_hash == old, present), execution_options=unsynchronized
    )
    session.execute(
        update(Embedding).where(Embedding.content_hash == old).values(content_hash=new),
        execution_options=unsynchronized,
    )
