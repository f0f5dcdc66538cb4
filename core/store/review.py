"""The review queue: which tracks to ask people about next, and leases so that nobody is asked twice.

Leases are on audio, so copies of a track are not asked about at the same time either. They end with the
reviewer's answer or by their time, so a reviewer that disappears holds nobody up for long.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Text, func, select, true, union_all
from sqlalchemy.orm import Session

from core.states import Strategy
from core.store.libraries import get_library_by_name
from core.store.review_leases import is_leased, lease_audio, lock_leases
from core.store.review_order import rank_audio
from core.store.review_pool import choose_pool, is_present, there
from core.store.tables import Library, Model, Review, Track
from core.store.tracks import TrackRow, track_row, tracks_with

WINDOW = 20  # candidates per track that is asked for, to have several albums to choose from


@dataclass(frozen=True)
class Question:
    row: TrackRow
    value: float  # margin, self-confidence, or number of labels; of `random` without meaning
    leased_until: datetime


@dataclass(frozen=True)
class _Candidate:
    content_hash: bytes
    value: float
    track_id: UUID
    album: str | None  # with its folder; None if its tags name none


def take_questions(
    session: Session,
    model: Model,
    strategy: Strategy,
    n: int,
    *,
    reviewer: str,
    lease_s: float,
    label: str | None = None,
    library: str | None = None,
    other: Model | None = None,
) -> list[Question]:
    """Lease up to `n` tracks, those to ask about first come first; `label` is one of the model's.

    `margin` never gives two tracks of one album in a row, so it may give fewer than there are; the first may
    be of the album that the reviewer was asked about last if nothing else is near. `other` is needed for
    `disagreement`. Takers wait for each other until their transactions end. Raises Invalid.
    """
    lock_leases(session)
    library_id = None if library is None else get_library_by_name(session, library).id
    ranked = rank_audio(model, strategy, label, other, choose_pool(session, model, label, library_id))
    window = n * WINDOW if strategy == Strategy.MARGIN else n
    found = [_Candidate(*row) for row in session.execute(_candidates(ranked, library_id, window))]
    found.sort(key=lambda each: -each.value if strategy == Strategy.DISAGREEMENT else each.value)
    chosen = spread(found, n, _last_albums(session, reviewer)) if strategy == Strategy.MARGIN else found
    at_random = strategy == Strategy.RANDOM and label is None
    until = lease_audio(
        session, [each.content_hash for each in chosen], reviewer, lease_s, at_random=at_random
    )
    tracks = session.execute(tracks_with(model).where(Track.id.in_([each.track_id for each in chosen])))
    rows = {track.id: track_row(track, *rest) for track, *rest in tracks}
    return [
        Question(rows[each.track_id], each.value, until[each.content_hash])
        for each in chosen
        if each.track_id in rows
    ]


def spread(candidates: Sequence[_Candidate], n: int, before: Set[str | None]) -> list[_Candidate]:
    """Up to `n` candidates in their order, put off where two of one album would follow each other.

    The first is of none of the albums `before`, unless all are.
    """
    chosen: list[_Candidate] = []
    waiting = list(candidates)
    while waiting and len(chosen) < n:
        last = {chosen[-1].album} if chosen else before
        fitting = (
            place for place, each in enumerate(waiting) if each.album is None or each.album not in last
        )
        place = next(fitting, None if chosen else 0)
        if place is None:
            break
        chosen.append(waiting.pop(place))
    return chosen


def _last_albums(session: Session, reviewer: str) -> set[str | None]:
    """The albums that this reviewer was asked about last.

    Of what was asked last, the lease is the newest of those that run or, if it was answered, the newest of
    those that have ended.
    """
    now = func.clock_timestamp()
    newest = (
        select(Review.content_hash)
        .where(Review.reviewer == reviewer, kind)
        .order_by(Review.leased_until.desc())
        .limit(1)
        for kind in (Review.leased_until > now, Review.leased_until <= now)
    )
    audio = session.scalars(union_all(*(select(each.subquery()) for each in newest))).all()
    return set(session.scalars(select(_album()).where(Track.content_hash.in_(audio))))


def _album() -> ColumnElement[Any]:
    """The album of a track, with its folder; NULL if its tags name none."""
    folder = func.regexp_replace(Track.path, "[^/]*$", "", type_=Text)
    return folder.concat(func.nullif(Track.tags["album"].astext, ""))


def _candidates(
    ranked: Select[*tuple[Any, ...]], library_id: UUID | None, limit: int
) -> Select[*tuple[Any, ...]]:
    """The first that are there and that nobody is being asked about, each with one of its tracks."""
    digest = ranked.selected_columns["content_hash"]
    first = ranked.where(is_present(digest, library_id), ~is_leased(digest)).limit(limit).subquery()
    track = (
        select(Track.id, _album().label("album"))
        .join(Library, Library.id == Track.library_id)
        .where(Track.content_hash == first.c.content_hash, *there(library_id))
        .order_by(Track.path, Track.id)
        .limit(1)
        .lateral("track")
    )
    return select(first.c.content_hash, first.c.value, track.c.id, track.c.album).join(track, true())
