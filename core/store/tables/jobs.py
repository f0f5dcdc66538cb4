"""The queue: jobs, their units and items, and the workers."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.states import ItemState, JobState, UnitState
from core.store.base import Base, Deletable
from core.store.tables.checks import one_of


class Job(Deletable, Base):
    """A request for asynchronous work; the row is the queue entry."""

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("owner", "idempotency_key"),
        Index("ix_jobs_created_at_id", "created_at", "id"),
        Index("ix_jobs_owner_created_at_id", "owner", "created_at", "id"),
        Index("ix_jobs_open", "id", postgresql_where=text("state IN ('queued', 'running', 'cancelling')")),
        Index("ix_jobs_retry_of", "retry_of", postgresql_where=text("retry_of IS NOT NULL")),
        Index("ix_jobs_library_id", "library_id", postgresql_where=text("library_id IS NOT NULL")),
        Index("ix_jobs_model_id", "model_id", postgresql_where=text("model_id IS NOT NULL")),
        Index("ix_jobs_deleted_at", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
        # Which predictions of uploads are still asked for.
        Index(
            "ix_jobs_content_hash",
            text("(result ->> 'content_hash')"),
            postgresql_where=text("kind = 'predict'"),
        ),
        one_of(JobState),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    kind: Mapped[str]
    owner: Mapped[str]
    idempotency_key: Mapped[str | None]
    request_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    params: Mapped[dict[str, Any]]
    library_id: Mapped[UUID | None] = mapped_column(ForeignKey("libraries.id", ondelete="SET NULL"))
    model_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    retry_of: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    state: Mapped[str] = mapped_column(default=JobState.QUEUED)
    total: Mapped[int] = mapped_column(BigInteger, default=0)
    # Counters of its ended units, added up by their kind: a trigger of the database does it.
    ended: Mapped[dict[str, dict[str, int]]] = mapped_column(JSONB, default=dict, server_default=text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    result: Mapped[dict[str, Any] | None]
    error_code: Mapped[str | None]
    error_detail: Mapped[str | None]


class JobUnit(Base):
    """A piece of a job that one worker does in one go. One message names one unit.

    Its counters are absolute, so a unit that runs again never counts twice.
    """

    __tablename__ = "job_units"
    __table_args__ = (
        UniqueConstraint("job_id", "seq"),
        Index(
            "ix_job_units_open",
            "job_id",
            "queue",
            "id",
            postgresql_where=text("state IN ('ready', 'dispatched', 'running')"),
        ),
        # What the dispatcher looks at in every round, however many units wait.
        Index("ix_job_units_dispatched", "queue", postgresql_where=text("state = 'dispatched'")),
        Index(
            "ix_job_units_again",
            "queue",
            "id",
            postgresql_where=text("state = 'ready' AND crash_count > 0"),
        ),
        # Together with what the job says of its ended units these make up its progress.
        Index(
            "ix_job_units_counted",
            "job_id",
            postgresql_where=text(
                "(started_at IS NOT NULL OR failed + skipped > 0)"
                " AND state IN ('ready', 'dispatched', 'running')"
            ),
        ),
        Index("ix_job_units_running", "job_id", "id", postgresql_where=text("state = 'running'")),
        Index("ix_job_units_finished_at", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
        one_of(UnitState),
        CheckConstraint(
            "started_at IS NOT NULL OR done = 0 OR state IN ('done', 'failed', 'cancelled')",
            name="begun_if_done",
        ),
        {"postgresql_with": {"fillfactor": "50"}},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    seq: Mapped[int]
    kind: Mapped[str]
    queue: Mapped[str]
    state: Mapped[str] = mapped_column(default=UnitState.READY)
    payload: Mapped[dict[str, Any]] = mapped_column(default=dict)
    attempt: Mapped[int] = mapped_column(SmallInteger, default=0)
    crash_count: Mapped[int] = mapped_column(SmallInteger, default=0)
    run_after: Mapped[datetime] = mapped_column(server_default=func.now())
    claim_id: Mapped[UUID | None]
    claimed_by: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    current_pos: Mapped[int | None]
    done: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    skipped: Mapped[int] = mapped_column(default=0)
    timings: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default=text("'{}'"))
    activity: Mapped[dict[str, Any] | None]  # what a long unit is doing: name, done, total
    dispatched_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    last_error: Mapped[str | None]


class JobItem(Base):
    """The outcome of one track in one job, or of a path that is no track: a link, a folder not listed."""

    __tablename__ = "job_items"
    __table_args__ = (
        Index("ix_job_items_job_id_unit_id_pos", "job_id", "unit_id", "pos"),
        Index("ix_job_items_failed", "job_id", "unit_id", "pos", postgresql_where=text("state = 'failed'")),
        Index("ix_job_items_content_hash", "content_hash", postgresql_where=text("content_hash IS NOT NULL")),
        one_of(ItemState),
        CheckConstraint("num_nonnulls(track_id, path) = 1", name="track_or_path"),
        {"postgresql_with": {"fillfactor": "80"}},
    )

    unit_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("job_units.id", ondelete="CASCADE"), primary_key=True
    )
    pos: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[UUID]
    track_id: Mapped[UUID | None] = mapped_column(ForeignKey("tracks.id", ondelete="CASCADE"), index=True)
    path: Mapped[str | None]  # relative to the library, of what is no track
    state: Mapped[str] = mapped_column(default=ItemState.PENDING)
    content_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    error_code: Mapped[str | None]
    error_detail: Mapped[str | None]
    crash_count: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")


class Worker(Base):
    """A worker with a recent heartbeat; the dispatcher sizes its window by the slots."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(primary_key=True)
    queues: Mapped[list[str]] = mapped_column(ARRAY(Text))
    slots: Mapped[int]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    beat_at: Mapped[datetime] = mapped_column(server_default=func.now())
    draining: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
