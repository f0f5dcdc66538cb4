"""What people say of audio: label sets, corrections, and who is being asked."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.store.base import Base
from core.store.tables.checks import verdict


class LabelSet(Base):
    """A vocabulary of one's own, which exists before any model that gives its labels."""

    __tablename__ = "label_sets"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str] = mapped_column(unique=True)
    labels: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)  # `label` and `facet`, in the user's order
    exclusive: Mapped[bool]  # a track has one label of each facet
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class CorrectionChange(Base):
    """A request that has changed corrections; it is undone as a whole."""

    __tablename__ = "correction_changes"
    __table_args__ = (Index("ix_correction_changes_created_at_id", "created_at", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    author: Mapped[str]  # id of the API key, or `local`
    origin: Mapped[str]
    note: Mapped[str | None]
    undoes: Mapped[UUID | None] = mapped_column(ForeignKey("correction_changes.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Correction(Base):
    """The last word of people on one label of a piece of audio; NULL once it has been withdrawn.

    It belongs to the audio and refers to no track or model, so that it outlives both.
    """

    __tablename__ = "corrections"
    __table_args__ = (
        Index(
            "ix_corrections_confirmed",
            "label_key",
            "content_hash",
            postgresql_where=text("verdict = 'yes'"),
        ),
        Index("ix_corrections_change_id", "change_id"),
        verdict(),
    )

    content_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    label_key: Mapped[str] = mapped_column(primary_key=True)  # equal for all spellings of the label
    label: Mapped[str]
    verdict: Mapped[str | None]
    change_id: Mapped[UUID] = mapped_column(ForeignKey("correction_changes.id"))  # the last


class CorrectionEntry(Base):
    """The history of corrections, which only grows; entries of one label of one audio ascend by id."""

    __tablename__ = "correction_entries"
    __table_args__ = (
        Index("ix_correction_entries_of_label", "content_hash", "label_key", "id"),
        Index("ix_correction_entries_change_id", "change_id"),
        verdict(),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    content_hash: Mapped[bytes] = mapped_column(LargeBinary)
    label_key: Mapped[str]
    label: Mapped[str]
    verdict: Mapped[str | None]
    change_id: Mapped[UUID] = mapped_column(ForeignKey("correction_changes.id"))


class Review(Base):
    """Who is being asked about a piece of audio, and until when nobody else is."""

    __tablename__ = "reviews"

    content_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    reviewer: Mapped[str]  # id of the API key, or `local`
    leased_until: Mapped[datetime]
    # Whether the audio was picked at random for it, and all labels are asked about.
    at_random: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    sampled_at: Mapped[datetime | None]  # when such a question gave the first verdict on the audio
    confirmed_at: Mapped[datetime | None]  # when an answer last left a verdict as it was
