"""Queries of tracks that are saved under a name."""

from datetime import datetime

from sqlalchemy import func
from sqlalchemy.orm import Mapped, mapped_column

from core.store.base import Base


class SavedQuery(Base):
    """Which tracks are meant, and in which order: as the parameters of `GET /tracks` stand in an address."""

    __tablename__ = "saved_queries"

    name: Mapped[str] = mapped_column(primary_key=True)
    query: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
