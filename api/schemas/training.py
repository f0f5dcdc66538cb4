"""What a training answers."""

from uuid import UUID

from pydantic import Field

from api.schemas.base import Response


class Interval(Response):
    """A measure with the bounds of its 95 % interval."""

    value: float | None
    low: float | None
    high: float | None


class LabelOutcome(Response):
    """How well one label is told, on tracks that were not learnt from."""

    label: str
    support: int = Field(description="tracks that have it")
    roc_auc: float | None
    pr_auc: float | None
    f1: float | None


class TrainingOutcome(Response):
    """What a training has come to."""

    run_id: UUID
    experiment: str
    model: str = Field(description="`name@version`", examples=["my-genres@1"])
    evaluated_on: str = Field(description="`out_of_fold` when cross-validated, else `test`")
    metrics: dict[str, float | None]
    intervals: dict[str, Interval] = Field(description="bootstrapped over artists where they are known")
    labels: list[LabelOutcome]
    dropped: int = Field(description="tracks that could not be read")
    warnings: list[str]
