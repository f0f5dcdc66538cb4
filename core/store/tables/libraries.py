"""Libraries and their tracks."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    REAL,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    SmallInteger,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from core.store.base import Base, Deletable


class Library(Deletable, Base):
    """A named folder of music on the workers' file system."""

    __tablename__ = "libraries"
    __table_args__ = (
        # The name of a deleted library is free at once.
        Index("uq_libraries_name", "name", unique=True, postgresql_where=text("deleted_at IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    path: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Track(Base):
    """A file of a library as last seen; `content_hash` says which audio it held when last analysed.

    Equal to `file_hash` where an older version has analysed it, which knew no other identity.
    """

    __tablename__ = "tracks"
    __table_args__ = (
        UniqueConstraint("library_id", "path"),
        Index("ix_tracks_content_hash", "content_hash", postgresql_where=text("content_hash IS NOT NULL")),
        Index("ix_tracks_file_hash", "file_hash", postgresql_where=text("file_hash IS NOT NULL")),
        Index("ix_tracks_mtime_ns_id", "mtime_ns", "id"),
        Index("ix_tracks_words", text("track_words(path, tags)"), postgresql_using="gin"),
        Index("ix_tracks_suffix", text(r"substring(lower(path), '\.[a-z0-9_~+-]{1,10}$')"), "id"),
        Index("ix_tracks_year", text("substring(tags ->> 'date', '^[0-9]{4}')"), "id"),
        Index("ix_tracks_missing", "library_id", "id", postgresql_where=text("missing_at IS NOT NULL")),
        Index("ix_tracks_tags_error", "library_id", "id", postgresql_where=text("tags_error IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    library_id: Mapped[UUID] = mapped_column(ForeignKey("libraries.id", ondelete="CASCADE"))
    path: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    mtime_ns: Mapped[int] = mapped_column(BigInteger)
    content_hash: Mapped[bytes | None] = mapped_column(LargeBinary)  # of the audio
    file_hash: Mapped[bytes | None] = mapped_column(LargeBinary)  # SHA-256 of the whole file
    tags: Mapped[dict[str, Any] | None]
    tags_error: Mapped[str | None]  # why some or all of the tags cannot be read
    tags_version: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")  # of their reader
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    missing_at: Mapped[datetime | None]


class TrackCount(Base):
    """A change of the number of tracks in a library; the sum of its rows is how many there are.

    Triggers on `tracks` write it in the same transaction, so that the sums are exact and no writer waits for
    another. It refers to no library, as rows may outlive one until they are added up.
    """

    __tablename__ = "track_counts"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    library_id: Mapped[UUID]
    present: Mapped[int] = mapped_column(BigInteger)
    missing: Mapped[int] = mapped_column(BigInteger)


class KeptTotals(Base):
    """What all libraries hold, as last counted: see `core.services.library_totals`. The only row."""

    __tablename__ = "kept_totals"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    counted_at: Mapped[datetime]
    took_s: Mapped[float] = mapped_column(REAL)
    facts: Mapped[dict[str, Any]]
