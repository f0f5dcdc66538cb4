"""Every table. Postgres is the truth: what is not written here did not happen."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import (
    ARRAY,
    REAL,
    BigInteger,
    CheckConstraint,
    Float,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    case,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.states import ItemState, JobState, TrialState, UnitState, Verdict
from core.store.base import Base, Deletable


def _one_of(states: type[JobState | UnitState | ItemState | TrialState]) -> CheckConstraint:
    return CheckConstraint("state IN (" + ", ".join(f"'{state}'" for state in states) + ")", name="state")


def _verdict() -> CheckConstraint:
    return CheckConstraint("verdict IN (" + ", ".join(f"'{each}'" for each in Verdict) + ")", name="verdict")


class ApiKey(Base):
    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    prefix: Mapped[str] = mapped_column(unique=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


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


class ModelAlias(Base):
    """A name that points to a version: `default` is what jobs use when they name no model."""

    __tablename__ = "model_aliases"

    alias: Mapped[str] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class Prediction(Base):
    """What one model says of one piece of audio, wherever and how often that audio lies in a library."""

    __tablename__ = "predictions"
    __table_args__ = (
        Index("ix_predictions_model_id", "model_id"),
        Index("ix_predictions_warned", "model_id", "content_hash", postgresql_where=text("warnings <> '{}'")),
    )

    content_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"), primary_key=True)
    coverage: Mapped[str]
    duration_s: Mapped[float] = mapped_column(REAL)
    scores: Mapped[list[float]] = mapped_column(ARRAY(REAL))
    warnings: Mapped[list[str]] = mapped_column(ARRAY(String), server_default="{}")
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


class PredictionLabel(Base):
    """A label whose score reached its threshold, as a row, so that `genre and min_score` is an index scan."""

    __tablename__ = "prediction_labels"
    __table_args__ = (Index("ix_prediction_labels_model_id_label_score", "model_id", "label", "score"),)

    content_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"), primary_key=True)
    label: Mapped[str] = mapped_column(primary_key=True)
    score: Mapped[float] = mapped_column(REAL)


class LearntTrack(Base):
    """A piece of audio that a model has learnt from, if the training has stored which these are.

    `scores` are those of a model that was not trained on it, such as that of a fold; NULL if there is none.
    """

    __tablename__ = "learnt_tracks"

    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"), primary_key=True)
    content_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    scores: Mapped[list[float] | None] = mapped_column(ARRAY(REAL))


class Retraining(Base):
    """After how many corrected tracks the models of a name are trained again, and what became of it last."""

    __tablename__ = "retrainings"

    model_name: Mapped[str] = mapped_column(primary_key=True)
    after_tracks: Mapped[int]
    enabled: Mapped[bool]
    # Whose corrected tracks count and are learnt from.
    library_id: Mapped[UUID | None] = mapped_column(ForeignKey("libraries.id", ondelete="SET NULL"))
    owner: Mapped[str]  # of its jobs: who has set it up
    tried_at: Mapped[datetime | None]  # tracks corrected before it no longer count
    job_id: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))  # the last one
    error_code: Mapped[str | None]  # why the last try made no job
    error_detail: Mapped[str | None]


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
        _verdict(),
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
        _verdict(),
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
    confirmed_at: Mapped[datetime | None]  # when somebody last said what had been said already


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
        _one_of(JobState),
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
        Index("ix_job_units_running", "job_id", "id", postgresql_where=text("state = 'running'")),
        Index("ix_job_units_finished_at", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
        _one_of(UnitState),
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
        _one_of(ItemState),
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


class Experiment(Base):
    """Runs under one name, which is also the name of the models that they give."""

    __tablename__ = "experiments"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    last_version: Mapped[int] = mapped_column(default=0, server_default=text("0"))  # given to a model
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Run(Deletable, Base):
    """One training: of an experiment, or a trial of a study.

    A run of an experiment has the id of its job, whose state is also its own.
    """

    __tablename__ = "runs"
    __table_args__ = (
        UniqueConstraint("experiment_id", "version"),
        UniqueConstraint("study_id", "number"),
        Index(
            "ix_runs_created_at_id", "created_at", "id", postgresql_where=text("experiment_id IS NOT NULL")
        ),
        CheckConstraint("num_nonnulls(experiment_id, study_id) = 1", name="experiment_or_study"),
        CheckConstraint("num_nulls(study_id, number, state) IN (0, 3)", name="trial"),
        CheckConstraint("experiment_id IS NULL OR num_nulls(config, seed) = 0", name="configured"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    # NULL for a trial, as are `config` and `seed`: its study has them.
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"), nullable=True)
    study_id: Mapped[UUID | None] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"))
    number: Mapped[int | None]  # in the study: from 0, in the order in which trials were added
    job_id: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), index=True)
    version: Mapped[int | None]  # of the model it is to give; taken when it starts, never given twice
    config: Mapped[dict[str, Any]] = mapped_column(nullable=True)  # as requested; resolved once it has ended
    seed: Mapped[int] = mapped_column(nullable=True)
    dataset_sha256: Mapped[str | None]
    code_version: Mapped[str | None]
    metrics: Mapped[dict[str, Any] | None]
    results: Mapped[dict[str, Any] | None]
    duration_s: Mapped[float | None] = mapped_column(REAL)
    model_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]

    __mapper_args__ = {  # noqa: RUF012 (SQLAlchemy's own declaration)
        "polymorphic_on": case((study_id.is_not(None), "trial"), else_="training"),
        "polymorphic_identity": "training",
    }


class Trial(Run):
    """A run of a study: one point of its search space, executed by one unit however often that is run."""

    study_id: Mapped[UUID] = mapped_column(nullable=True, use_existing_column=True)
    number: Mapped[int] = mapped_column(nullable=True, use_existing_column=True)
    unit_id: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("job_units.id", ondelete="SET NULL"), unique=True
    )
    state: Mapped[str] = mapped_column(_one_of(TrialState), nullable=True)
    params: Mapped[dict[str, Any] | None]  # by dotted key; chosen when it starts
    values: Mapped[list[float] | None] = mapped_column(ARRAY(Float))  # in the order of the objectives
    error_code: Mapped[str | None]
    error_detail: Mapped[str | None]
    started_at: Mapped[datetime | None]

    __mapper_args__ = {"polymorphic_identity": "trial"}  # noqa: RUF012 (SQLAlchemy's own declaration)

    def __init__(self, **values: Any) -> None:
        # A default of the column would be that of every run.
        super().__init__(**{"state": TrialState.WAITING} | values)


class Epoch(Base):
    """What a run reported of an epoch; fold 0 holds the epochs outside cross-validation."""

    __tablename__ = "epochs"

    run_id: Mapped[UUID] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    fold: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    metrics: Mapped[dict[str, Any]]


class Study(Deletable, Base):
    """A search for hyper-parameters; its jobs, one at a time, add trials to it."""

    __tablename__ = "studies"
    __table_args__ = (Index("ix_studies_created_at_id", "created_at", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    config: Mapped[dict[str, Any]]  # with the experiment, its dataset placed
    job_id: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))  # the last one
    importances: Mapped[dict[str, Any] | None]  # by objective and key; written when a job ends
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Worker(Base):
    """A worker with a recent heartbeat; the dispatcher sizes its window by the slots."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(primary_key=True)
    queues: Mapped[list[str]] = mapped_column(ARRAY(Text))
    slots: Mapped[int]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    beat_at: Mapped[datetime] = mapped_column(server_default=func.now())
    draining: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
