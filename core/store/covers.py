"""Covers of files: a cache, of which what is old goes when something new comes."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.store.tables import Cover

KEPT = timedelta(days=90)
BATCH = 100  # old covers that go at a time


@dataclass(frozen=True)
class KnownCover:
    """What is known of the cover of a file."""

    jpeg: bytes | None  # None: the file has none


def find_cover(session: Session, file_hash: bytes) -> KnownCover | None:
    """None if nobody has looked yet, or not for long."""
    row = session.get(Cover, file_hash)
    return None if row is None else KnownCover(row.jpeg)


def has_cover(session: Session, file_hash: bytes | None) -> bool | None:
    """Whether a file has a cover, without reading it; None if that is not known."""
    if file_hash is None:
        return None
    return session.scalar(select(Cover.jpeg.is_not(None)).where(Cover.file_hash == file_hash))


def save_cover(session: Session, file_hash: bytes, jpeg: bytes | None) -> None:
    """The same file has the same cover, so one that is there already stays."""
    session.execute(insert(Cover).values(file_hash=file_hash, jpeg=jpeg).on_conflict_do_nothing())
    old = select(Cover.file_hash).where(Cover.created_at < func.now() - KEPT).order_by(Cover.created_at)
    locked = old.limit(BATCH).with_for_update(skip_locked=True)
    session.execute(delete(Cover).where(Cover.file_hash.in_(locked)))
