"""Kinds of jobs and of units. Each is declared once, and registered when a process starts.

The queue knows no kind by itself: what is particular to one is a field or a function of its declaration.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from core.store.tables import Job, Model

UNIT_TIME_LIMIT_S = 900  # far above what a unit takes: ends what hangs inside a C library


@dataclass(frozen=True)
class UnitSpec:
    """A kind of unit: where it waits and what a worker does with it."""

    name: str
    queue: str
    body: str  # `module:function`, imported only by the process that runs it
    time_limit_s: int = UNIT_TIME_LIMIT_S
    can_be_cut: bool = True  # handed back when its time is up; the next run goes on where it stopped
    adds_units: bool = False  # the total of its job is unknown while it is open
    is_one_item: bool = False  # without rows of items: the unit itself is the item that is counted
    after: tuple[str, ...] = ()  # waits until no unit of these kinds is open in its job
    is_counted: bool = True  # what it has done is part of its job's progress
    is_serving: bool = True  # the service is not ready without a worker for its queue
    # Called with the unit's id, error code and detail in place of failing the unit and its job.
    on_give_up: Callable[[Session, int, str, str], None] | None = None


@dataclass(frozen=True)
class SubmissionContext:
    """Who submits a job, under which key, and within which limits."""

    owner: str
    idempotency_key: str | None = None
    max_open_jobs: int = 0  # of this owner; 0: any number
    is_trusted: bool = False  # may name any folder of the server
    data_dir: Path = Path(".mfa")


@dataclass(frozen=True)
class NewJob:
    """A checked job, ready to be inserted."""

    kind: str
    params: dict[str, Any]
    total: int = 0
    id: UUID | None = None  # None: a new one
    library_id: UUID | None = None
    model_id: int | None = None
    retry_of: UUID | None = None
    payload: dict[str, Any] = field(default_factory=dict)  # of the first unit
    queue: str | None = None  # of the first unit; None: that of its kind
    on_insert: Callable[[Session, Job], object] | None = None  # in the same transaction


def dump_params(params: BaseModel) -> Any:
    return params.model_dump(mode="json")


def hold_nothing(_session: Session, _job: NewJob) -> None:
    """For jobs that refer to no other rows."""


@dataclass(frozen=True)
class Progress:
    """Of a job. `percent` and `eta_s` are None while units are being added, and so `total` is unknown."""

    total: int
    done: int
    failed: int
    skipped: int
    percent: float | None
    rate_per_s: float | None
    eta_s: float | None
    details: Mapping[str, Any] = field(default_factory=dict)  # what the kind of job adds


@dataclass(frozen=True)
class JobSpec:
    """A kind of job: how it is submitted and retried, and what it adds to progress and ending."""

    name: str
    params: type[BaseModel]
    first_unit: UnitSpec
    retry: Callable[[Session, Job], NewJob]  # raises NothingToRetry
    # Of the items with one error code only; None: its items do not fail for reasons of their own.
    retry_group: Callable[[Session, Job, str], NewJob] | None = None
    # None: it needs more than parameters, and its own service submits it.
    prepare: Callable[[Session, Any, SubmissionContext], NewJob] | None = None
    opening_units: tuple[UnitSpec, ...] = ()  # added together with the first one, which may wait for them
    further_units: tuple[UnitSpec, ...] = ()
    identity: Callable[[Any], Any] = dump_params  # what makes two requests the same, as JSON
    hold_references: Callable[[Session, NewJob], None] = hold_nothing  # until the job is committed
    describe_progress: (
        Callable[[Session, Sequence[Job], Mapping[UUID, Progress]], Mapping[UUID, dict[str, Any]]] | None
    ) = None
    # Whether an open job needs a model besides that of its row, which may then not be deleted.
    uses_model: Callable[[Session, Job, Model], bool] | None = None
    has_failed: Callable[[], ColumnElement[bool]] | None = None  # although no unit of it has
    on_end: Callable[[Session, Collection[UUID]], None] | None = None
    expires: bool = False  # deleted some time after it has ended
    keeps_checkpoints: bool = False  # a retry goes on from the folder of the job


_specs: dict[str, JobSpec] = {}


def register(specs: Sequence[JobSpec]) -> None:
    _specs.update({spec.name: spec for spec in specs})


def job_specs() -> tuple[JobSpec, ...]:
    """All of them, in the order of their registration."""
    if not _specs:
        raise RuntimeError("no kind of job is registered in this process")
    return tuple(_specs.values())


def job_spec(name: str) -> JobSpec:
    return _specs[name]


def spec_of_params(params: BaseModel) -> JobSpec:
    """The kind of job that takes parameters of this class."""
    return next(spec for spec in job_specs() if spec.params is type(params))


def unit_specs() -> tuple[UnitSpec, ...]:
    """All of them; kinds of jobs may share some."""
    units = ((spec.first_unit, *spec.opening_units, *spec.further_units) for spec in job_specs())
    return tuple(dict.fromkeys(unit for of_job in units for unit in of_job))


def unit_spec(name: str) -> UnitSpec:
    return {spec.name: spec for spec in unit_specs()}[name]


def followers(name: str) -> tuple[str, ...]:
    """The kinds of units that wait for units of this kind."""
    return tuple(unit.name for unit in unit_specs() if name in unit.after)


def queues() -> tuple[str, ...]:
    return tuple(dict.fromkeys(unit.queue for unit in unit_specs()))


def serving_queues() -> tuple[str, ...]:
    """Those without whose workers the service is not ready; in the others work only waits."""
    return tuple(dict.fromkeys(unit.queue for unit in unit_specs() if unit.is_serving))
