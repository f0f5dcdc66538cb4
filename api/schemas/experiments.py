"""Experiments and their runs."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from api.schemas.base import Response
from core.states import JobState


class Experiment(Response):
    """Runs under one name, which is also the name of the models that they produce."""

    name: str
    created_at: datetime
    run_count: int


class Run(Response):
    """One training."""

    id: UUID
    experiment: str
    job_id: UUID | None
    state: JobState | None = Field(description="state of its job")
    model: str | None = Field(description="`name@version`; null until it has succeeded")
    seed: int
    dataset_sha256: str | None = Field(description="SHA-256 of the tracks, their labels and contents")
    code_version: str | None = Field(description="release, and commit or digest of the sources")
    metrics: dict[str, float | None] | None
    duration_s: float | None
    created_at: datetime
    finished_at: datetime | None


class ExperimentRuns(Experiment):
    runs: list[Run] = Field(description="the newest hundred, newest first")


class Epoch(Response):
    """A point of the training curves."""

    fold: int | None = Field(description="from 1; null outside cross-validation")
    epoch: int = Field(description="from 1")
    train_loss: float | None
    validation_loss: float | None
    validation: dict[str, float | None] = Field(description="metrics on the validation tracks")
    learning_rate: float
    duration_s: float
    busy_share: float = Field(description="share of the epoch that was not spent waiting for data")
    is_best: bool


class RunDetails(Run):
    config: dict[str, Any] = Field(description="with every resolved value, once the run has ended")
    results: dict[str, Any] | None = Field(description="metrics, intervals, metrics per label, warnings")
    epochs: list[Epoch] = Field(description="the training curves")
    artifacts: list[str] = Field(description="names of files, for `/runs/{id}/artifacts/{name}`")


class RunLogLine(Response):
    kind: Literal["stage", "epoch", "warning", "error"]
    text: str = Field(description="one sentence")
    at: datetime | None = Field(description="null if only the order is known, as of epochs")


class RunLog(Response):
    """What a training has done so far, in the order in which it happened."""

    lines: list[RunLogLine] = Field(description="the newest 500 at most")
    left_out: int = Field(description="lines before these")


class RunComparison(Response):
    """Runs side by side; every list is in the order of `runs`."""

    runs: list[Run]
    metrics: dict[str, list[float | None]]
    differences: dict[str, list[Any]] = Field(
        description="differing values of the configurations, by dotted key"
    )
