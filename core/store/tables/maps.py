"""Maps: where tracks lie in the plane."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ARRAY, BigInteger, ForeignKey, Index, LargeBinary, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from core.store.base import Base


class Map(Base):
    """The audio of one library, or of all, as points in the plane, by the embeddings of an encoder.

    It is there once `completed_at` is set; the last one of an encoder and library replaces those before it.
    """

    __tablename__ = "maps"
    __table_args__ = (Index("ix_maps_encoder_id_library_id", "encoder_id", "library_id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    job_id: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), unique=True)
    encoder_id: Mapped[int] = mapped_column(ForeignKey("encoders.id"))
    library_id: Mapped[UUID | None] = mapped_column(ForeignKey("libraries.id"))  # None: all
    model: Mapped[str]  # `name@version`, whose labels it shows
    seed: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    completed_at: Mapped[datetime | None]
    points: Mapped[int] = mapped_column(default=0)
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)  # see `core.store.maps.Facts`
    labels: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list)  # the most frequent first
    # Of all points in the order of their places, as they are drawn.
    positions: Mapped[bytes | None] = mapped_column(
        LargeBinary, deferred=True
    )  # x and y: 16 bits, little-endian
    colours: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)  # a byte: see `core.store.maps`
    picture: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)  # of their density, as PNG


class MapPoint(Base):
    """Where a piece of audio lies. Places count from 0 in the order of content hashes, which is random."""

    __tablename__ = "map_points"
    __table_args__ = (
        Index("ix_map_points_content_hash", "content_hash"),
        Index("ix_map_points_map_id_x_y", "map_id", "x", "y"),
    )

    map_id: Mapped[UUID] = mapped_column(ForeignKey("maps.id", ondelete="CASCADE"), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    content_hash: Mapped[bytes] = mapped_column(LargeBinary)
    x: Mapped[int]  # 0 to 65,535
    y: Mapped[int]
