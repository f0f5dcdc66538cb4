"""The audio that the review queue may ask about: all of a model's, or a random part of very many."""

import os
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Subquery, exists, func, select
from sqlalchemy.orm import Session

from core.spelling import name_key
from core.store.libraries import get_library_by_name
from core.store.review_leases import is_leased
from core.store.tables import Correction, Library, Model, Prediction, Review, Track
from core.store.track_counts import count_tracks

POOL = 20_000  # pieces of audio at most: ranking a million exceeds the statement timeout
HASH_BYTES = 8  # of a content hash, which say what part of all hashes is smaller
HASHES = 2.0 ** (8 * HASH_BYTES)


@dataclass(frozen=True)
class Progress:
    """Pieces of audio that the model has labelled."""

    decided: int  # somebody said something of the label or, without one, of any label
    undecided: int
    leased: int  # somebody is being asked about them now
    exact: bool  # else `undecided` is an estimate


def choose_pool(session: Session, model: Model, label: str | None, library_id: UUID | None) -> Subquery:
    """Hashes and scores of undecided audio: of all, or of `POOL` pieces at random if there may be more.

    Content hashes are evenly distributed, so those that follow a random one are a random sample.
    """
    undecided = select(Prediction.content_hash, Prediction.scores).where(
        Prediction.model_id == model.id, ~is_decided(Prediction.content_hash, label)
    )
    if not _may_exceed_pool(session, library_id):
        return undecided.subquery()
    digest = Prediction.content_hash
    free = undecided.where(is_present(digest, library_id), ~is_leased(digest)).order_by(digest).limit(POOL)
    first = os.urandom(HASH_BYTES)
    later, earlier = free.where(digest >= first).subquery(), free.where(digest < first).subquery()
    return select(later).union_all(select(earlier)).limit(POOL).subquery()


def count_progress(session: Session, model: Model, label: str | None, library: str | None) -> Progress:
    library_id = None if library is None else get_library_by_name(session, library).id
    digest = Prediction.content_hash
    labelled = select(digest).where(Prediction.model_id == model.id, is_present(digest, library_id))
    decided = _count(session, labelled.where(is_decided(digest, label)))
    # A join, as Postgres evaluates EXISTS with a volatile function for each of a million rows.
    is_lease = (Review.content_hash == digest) & (Review.leased_until > func.clock_timestamp())
    leased = _count(session, labelled.join(Review, is_lease))
    estimate = _estimate(session, labelled) if _may_exceed_pool(session, library_id) else None
    total = _count(session, labelled) if estimate is None else estimate
    return Progress(decided, max(0, total - decided), leased, exact=estimate is None)


def count_decided(session: Session) -> int:
    """Pieces of audio of which somebody has said something that stands, of any library."""
    decided = select(Correction.content_hash).where(Correction.verdict.is_not(None)).distinct()
    return _count(session, decided)


def _may_exceed_pool(session: Session, library_id: UUID | None) -> bool:
    counts = count_tracks(session).items()
    return sum(each.present for key, each in counts if library_id in (None, key)) > POOL


def _count(session: Session, query: Select[Any]) -> int:
    return session.scalar(select(func.count()).select_from(query.subquery())) or 0


def _estimate(session: Session, audio: Select[Any]) -> int | None:
    """How much audio there is, by the part of all hashes that `POOL` of them take; None if it is less.

    The standard error is 0.7 %: that of a count of `POOL` events.
    """
    last = session.scalar(audio.order_by(Prediction.content_hash).offset(POOL - 1).limit(1))
    if last is None:
        return None
    smaller = int.from_bytes(last[:HASH_BYTES], "big") + 1
    return round(POOL / smaller * HASHES)


def is_present(content_hash: Any, library_id: UUID | None) -> ColumnElement[bool]:
    """Whether some track that is not missing holds the audio."""
    of_library = Library.id == Track.library_id
    return exists().where(of_library, Track.content_hash == content_hash, *there(library_id))


def there(library_id: UUID | None) -> list[ColumnElement[bool]]:
    of_library = [] if library_id is None else [Track.library_id == library_id]
    return [Track.missing_at.is_(None), *of_library]


def is_decided(content_hash: Any, label: str | None) -> ColumnElement[bool]:
    """Whether somebody said something of the label, or of any."""
    of_label = [] if label is None else [Correction.label_key == name_key(label)]
    said = (Correction.content_hash == content_hash, Correction.verdict.is_not(None))
    return exists().where(*said, *of_label)
