"""What models say of audio: scores, labels and embeddings."""

from datetime import datetime
from typing import Any

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import (
    ARRAY,
    REAL,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from core.store.base import Base


class Prediction(Base):
    """What one model says of one piece of audio, wherever and how often that audio lies in a library."""

    __tablename__ = "predictions"
    __table_args__ = (
        Index("ix_predictions_model_id", "model_id"),
        Index("ix_predictions_model_id_duration_s", "model_id", "duration_s"),
        Index("ix_predictions_warned", "model_id", "content_hash", postgresql_where=text("warnings <> '{}'")),
    )

    content_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"), primary_key=True)
    coverage: Mapped[str]
    duration_s: Mapped[float] = mapped_column(REAL)
    scores: Mapped[list[float]] = mapped_column(ARRAY(REAL))
    warnings: Mapped[list[str]] = mapped_column(ARRAY(String), server_default="{}")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class PredictionLabel(Base):
    """A label whose score reached its threshold, as a row, so that `genre and min_score` is an index scan."""

    __tablename__ = "prediction_labels"
    __table_args__ = (
        Index("ix_prediction_labels_model_id_label_score", "model_id", "label", "score"),
        # Which audio has several labels is found in ranges of it, and samples of the audio with a label.
        Index(
            "ix_prediction_labels_model_id_label_content_hash",
            "model_id",
            "label",
            "content_hash",
            postgresql_include=["score"],
        ),
    )

    content_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"), primary_key=True)
    label: Mapped[str] = mapped_column(primary_key=True)
    score: Mapped[float] = mapped_column(REAL)


class Waveform(Base):
    """How loud a piece of audio is from beginning to end, whichever model has listened to it."""

    __tablename__ = "waveforms"

    content_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    duration_s: Mapped[float] = mapped_column(REAL)
    bin_s: Mapped[float] = mapped_column(REAL)
    peaks: Mapped[bytes] = mapped_column(LargeBinary)  # a byte per bin, 255 for full scale
    rms: Mapped[bytes] = mapped_column(LargeBinary)


class Cover(Base):
    """The cover in a file, as it is shown; no picture for a file that was looked at and has none."""

    __tablename__ = "covers"
    __table_args__ = (Index("ix_covers_created_at", "created_at"),)

    file_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    jpeg: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Embedding(Base):
    """Where a piece of audio lies in the space of an encoder, for every model that listens with it."""

    __tablename__ = "embeddings"
    __table_args__ = (Index("ix_embeddings_encoder_id", "encoder_id"),)

    content_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    encoder_id: Mapped[int] = mapped_column(ForeignKey("encoders.id"), primary_key=True)
    coverage: Mapped[str]
    duration_s: Mapped[float] = mapped_column(REAL)
    warnings: Mapped[list[str]] = mapped_column(ARRAY(String), server_default="{}")
    vector: Mapped[Any] = mapped_column(VECTOR)
