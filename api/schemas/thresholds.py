"""Threshold tuning and its results."""

from typing import Literal

from pydantic import Field

from api.schemas.base import Request, Response, example
from core.config.params import JobKind, ThresholdParams


class ThresholdsRequest(Request):
    model_config = example({"kind": "thresholds", "params": {"model": "my-genres", "min_precision": 0.8}})

    kind: Literal[JobKind.THRESHOLDS]
    params: ThresholdParams


class ThresholdPoint(Response):
    threshold: float
    precision: float
    recall: float


class LabelThreshold(Response):
    """The threshold of one label, and its precision and recall on the validation tracks."""

    label: str
    threshold: float
    before: float = Field(description="the previous threshold")
    support: int = Field(description="validation tracks that have the label")
    precision: float | None
    recall: float | None
    front: list[ThresholdPoint] = Field(description="Pareto front of precision and recall")


class ThresholdOutcome(Response):
    """The result of threshold tuning."""

    model: str = Field(description="`name@version`, the same weights with new thresholds")
    labels: list[LabelThreshold]
    unreached: list[str] = Field(
        default=[],
        description="labels for which no threshold reaches `min_precision`; they get the nearest one",
    )
    cross_fitted: bool = Field(
        default=True,
        description="whether precision and recall are measured on tracks that the thresholds were chosen "
        "without; false if all validation tracks are of one artist or album: then they are too high",
    )
