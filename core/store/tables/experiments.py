"""Experiments, their runs and studies."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    ARRAY,
    REAL,
    BigInteger,
    CheckConstraint,
    Float,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    UniqueConstraint,
    case,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from core.states import TrialState
from core.store.base import Base, Deletable
from core.store.tables.checks import one_of


class Experiment(Base):
    """Runs under one name, which is also the name of the models that they give."""

    __tablename__ = "experiments"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    last_version: Mapped[int] = mapped_column(default=0, server_default=text("0"))  # given to a model
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


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
    # That it learns from; NULL if its dataset is another one, or the library has been deleted.
    library_id: Mapped[UUID | None] = mapped_column(ForeignKey("libraries.id", ondelete="SET NULL"))
    version: Mapped[int | None]  # of the model it is to give; taken when it starts, never given twice
    config: Mapped[dict[str, Any]] = mapped_column(nullable=True)  # as requested; resolved once it has ended
    seed: Mapped[int] = mapped_column(nullable=True)
    dataset_sha256: Mapped[str | None]
    code_version: Mapped[str | None]
    metrics: Mapped[dict[str, Any] | None]
    results: Mapped[dict[str, Any] | None]
    duration_s: Mapped[float | None] = mapped_column(REAL)
    model_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    weights_sha256: Mapped[str | None] = mapped_column(index=True)  # of the model, also once that is deleted
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
    state: Mapped[str] = mapped_column(one_of(TrialState), nullable=True)
    params: Mapped[dict[str, Any] | None]  # by dotted key; chosen when it starts
    values: Mapped[list[float] | None] = mapped_column(ARRAY(Float))  # in the order of the objectives
    error_code: Mapped[str | None]
    error_detail: Mapped[str | None]  # why it failed or was pruned
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
