"""Models, and what they were trained on."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    REAL,
    ForeignKey,
    Identity,
    LargeBinary,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from core.store.base import Base, Deletable


class Encoder(Base):
    """Weights that give embeddings; a head on a stored model has the same as that model."""

    __tablename__ = "encoders"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    sha256: Mapped[str] = mapped_column(unique=True)


class Model(Deletable, Base):
    """A version of a learned model; its weights live in the artifact folder."""

    __tablename__ = "models"
    __table_args__ = (UniqueConstraint("name", "version"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str]
    version: Mapped[int]
    kind: Mapped[str]
    labels: Mapped[list[str]] = mapped_column(ARRAY(Text))
    thresholds: Mapped[list[float]] = mapped_column(ARRAY(REAL))
    single_label: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    embedding_size: Mapped[int]
    artifact_url: Mapped[str]
    sha256: Mapped[str]
    encoder_id: Mapped[int] = mapped_column(ForeignKey("encoders.id"))
    metrics: Mapped[dict[str, Any]]
    offer: Mapped[dict[str, Any] | None]  # how a retrained model compares with the one it was trained for
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    @property
    def reference(self) -> str:
        """`name@version`, which means this version for ever."""
        return f"{self.name}@{self.version}"


class ModelAlias(Base):
    """A name that points to a version: `default` is what jobs use when they name no model."""

    __tablename__ = "model_aliases"

    alias: Mapped[str] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class TrainingTrack(Base):
    """A piece of audio that a model was trained on, if the training has stored which these are.

    `scores` are those of a model that was not trained on it, such as that of a fold; NULL if there is none,
    or of a label that it had not learnt.
    """

    __tablename__ = "training_tracks"

    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    content_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    scores: Mapped[list[float | None] | None] = mapped_column(ARRAY(REAL))


class Retraining(Base):
    """After how many corrected tracks the models of a name are trained again, and what became of it last."""

    __tablename__ = "retrainings"

    model_name: Mapped[str] = mapped_column(primary_key=True)
    after_tracks: Mapped[int]
    enabled: Mapped[bool]
    # Whose corrected tracks count and are trained on.
    library_id: Mapped[UUID | None] = mapped_column(ForeignKey("libraries.id", ondelete="SET NULL"))
    owner: Mapped[str]  # of its jobs: who has set it up
    tried_at: Mapped[datetime | None]  # tracks corrected before it no longer count
    job_id: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))  # the last one
    error_code: Mapped[str | None]  # why the last try made no job
    error_detail: Mapped[str | None]
