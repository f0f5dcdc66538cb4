"""Trainings and their results."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from api.schemas.base import Request, Response, example
from core.config.params import JobKind, TrainingParams


class TrainingRequest(Request):
    model_config = example(
        {
            "kind": "training",
            "params": {
                "experiment": {
                    "experiment_name": "my-genres",
                    "dataset": {"kind": "library", "library": "home", "labels_from": "genre_tags"},
                    "labels": {"num_genres": 12},
                    "model": {"kind": "transfer"},
                },
                "overrides": {"epochs": 50},
            },
        }
    )

    kind: Literal[JobKind.TRAINING]
    params: TrainingParams


class Interval(Response):
    """A measure with the bounds of its 95 % interval."""

    value: float | None
    low: float | None
    high: float | None


class LabelOutcome(Response):
    """Metrics of one label on held-out tracks; all are null if it cannot be measured."""

    label: str
    support: int = Field(description="tracks that have the label")
    roc_auc: float | None
    pr_auc: float | None
    f1: float | None
    unmeasured: str | None = Field(default=None, description="why the label cannot be measured")


class TrainingOutcome(Response):
    """The result of a training."""

    run_id: UUID
    experiment: str
    model: str = Field(description="`name@version`", examples=["my-genres@1"])
    evaluated_on: str = Field(description="`out_of_fold` when cross-validated, else `test`")
    metrics: dict[str, float | None]
    intervals: dict[str, Interval] = Field(description="bootstrapped over artists if they are known")
    labels: list[LabelOutcome]
    measured_labels: int | None = Field(
        default=None, description="that the means over labels in `metrics` and `intervals` are of"
    )
    unmeasured: dict[str, str] = Field(
        default={}, description="labels that cannot be measured, each with the reason"
    )
    dropped: int = Field(description="number of tracks that could not be read")
    warnings: list[str]
