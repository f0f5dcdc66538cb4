"""Leases of the review queue: who is being asked about which audio, and until when."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, case, delete, exists, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.store.clock import seconds
from core.store.tables import CorrectionChange, CorrectionEntry, Review, Track

REVIEW_LOCK = 7_264_004  # of an advisory lock


def lock_leases(session: Session) -> None:
    """Lease to one reviewer at a time: the next waits until this transaction ends."""
    session.execute(select(func.pg_advisory_xact_lock(REVIEW_LOCK)))


def is_leased(content_hash: Any) -> ColumnElement[bool]:
    return exists().where(Review.content_hash == content_hash, Review.leased_until > func.clock_timestamp())


def lease_audio(
    session: Session, content_hashes: Sequence[bytes], reviewer: str, lease_s: float, *, at_random: bool
) -> dict[bytes, datetime]:
    """Until when each piece of audio is leased from now on."""
    if not content_hashes:
        return {}
    until = func.statement_timestamp() + seconds(lease_s)
    # A microsecond apart, which keeps the order in which they are asked about.
    ends = {digest: until + timedelta(microseconds=place) for place, digest in enumerate(content_hashes)}
    rows = [
        {"content_hash": digest, "reviewer": reviewer, "leased_until": ends[digest], "at_random": at_random}
        for digest in sorted(ends)
    ]
    statement = insert(Review).values(rows)
    leased = statement.on_conflict_do_update(
        index_elements=[Review.content_hash],
        set_={name: statement.excluded[name] for name in ("reviewer", "leased_until", "at_random")},
    ).returning(Review.content_hash, Review.leased_until)
    return {digest: end for digest, end in session.execute(leased)}


def lease_again(session: Session, track_id: UUID, reviewer: str, lease_s: float) -> bool:
    """Lease a track to a reviewer who goes back to it; False if somebody else is being asked about it.

    Takers wait until the transaction ends.
    """
    lock_leases(session)
    until = func.clock_timestamp() + seconds(lease_s)
    audio = select(Track.content_hash, literal(reviewer), until)
    audio = audio.where(Track.id == track_id, Track.content_hash.is_not(None))
    statement = insert(Review).from_select(["content_hash", "reviewer", "leased_until"], audio)
    leased = statement.on_conflict_do_update(
        index_elements=[Review.content_hash],
        set_={name: statement.excluded[name] for name in ("reviewer", "leased_until")},
        where=(Review.reviewer == reviewer) | (Review.leased_until <= func.clock_timestamp()),
    ).returning(Review.content_hash)
    return session.scalar(leased) is not None


def find_leased(session: Session, track_ids: Sequence[UUID], reviewer: str, left_s: float) -> set[UUID]:
    """Those of these tracks that this reviewer holds a lease on for at least `left_s` more seconds."""
    mine = (Review.reviewer == reviewer, Review.leased_until > func.clock_timestamp() + seconds(left_s))
    query = select(Track.id).join(Review, Review.content_hash == Track.content_hash)
    return set(session.scalars(query.where(Track.id.in_(track_ids), Track.missing_at.is_(None), *mine)))


def release(session: Session, track_ids: Sequence[UUID], reviewer: str) -> None:
    """End the leases of this reviewer on the audio of these tracks.

    Locked in the order of the audio, as all writers of leases do, so that no two wait for each other.
    """
    audio = select(Track.content_hash).where(Track.id.in_(track_ids))
    now = func.clock_timestamp()
    mine = (Review.content_hash.in_(audio), Review.reviewer == reviewer, Review.leased_until > now)
    ordered = select(Review.content_hash).where(*mine).order_by(Review.content_hash)
    locked = ordered.with_for_update().cte("released")
    session.execute(
        update(Review).where(Review.content_hash.in_(select(locked.c.content_hash))).values(leased_until=now),
        execution_options={"synchronize_session": False},
    )


def move_review(session: Session, old: bytes, new: bytes) -> None:
    """Move who is asked about some audio, and what came of it, to another key, before its corrections.

    Of two leases the later stays, of two confirmations the earlier, so that nothing counts as confirmed which
    was not. It remains a sample unless something had been said under the other key before.
    """
    both = select(Review.content_hash).where(Review.content_hash.in_((old, new)))
    session.execute(both.order_by(Review.content_hash).with_for_update())
    unsynchronized = {"synchronize_session": False}
    for key, other in ((old, new), (new, old)):
        said_before = exists().where(
            CorrectionEntry.content_hash == other,
            CorrectionChange.id == CorrectionEntry.change_id,
            CorrectionChange.created_at < Review.sampled_at,
        )
        session.execute(
            update(Review).where(Review.content_hash == key, said_before).values(sampled_at=None),
            execution_options=unsynchronized,
        )
    lease = ("reviewer", "leased_until", "at_random")
    rest = ("sampled_at", "confirmed_at")
    columns = [getattr(Review, name) for name in (*lease, *rest)]
    gone = delete(Review).where(Review.content_hash == old).returning(*columns).cte("gone")
    statement = insert(Review).from_select(["content_hash", *lease, *rest], select(literal(new), gone))
    moved = statement.excluded
    is_later = moved.leased_until > Review.leased_until
    are_confirmed = func.num_nulls(moved.confirmed_at, Review.confirmed_at) == 0
    values = {name: case((is_later, moved[name]), else_=getattr(Review, name)) for name in lease} | {
        "sampled_at": func.least(moved.sampled_at, Review.sampled_at),  # NULL is passed over
        "confirmed_at": case((are_confirmed, func.least(moved.confirmed_at, Review.confirmed_at))),
    }
    session.execute(statement.on_conflict_do_update(index_elements=[Review.content_hash], set_=values))
