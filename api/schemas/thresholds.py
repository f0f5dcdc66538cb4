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
    before: float = Field(description="the former threshold")
    support: int = Field(description="validation tracks that have the label")
    given: int | None = Field(
        default=None, description="validation tracks that are given it: `precision` is a share of them"
    )
    precision: float | None = Field(description="null if the label is never given, or cannot be measured")
    recall: float | None = Field(description="null if the label cannot be measured")
    precision_before: float | None = Field(
        default=None,
        description="with the former threshold, on the same tracks; if it was chosen on them, it is too high",
    )
    recall_before: float | None = Field(default=None, description="like `precision_before`")
    kept: str | None = Field(
        default=None, description="why the label keeps its former threshold; null if it gets another one"
    )
    front: list[ThresholdPoint] = Field(
        description="Pareto front of precision and recall; empty if the label cannot be measured"
    )


class ThresholdOutcome(Response):
    """The result of threshold tuning."""

    model: str | None = Field(
        description="`name@version`, the same weights with new thresholds; null if none is registered, as "
        "without a gain that is shown (`verdict` is not `better`), unless `force` asked for it nevertheless"
    )
    labels: list[LabelThreshold]
    unreached: list[str] = Field(
        default=[],
        description="labels whose precision is lower than `min_precision` on tracks that their threshold was "
        "chosen without, or not known there; they keep their former threshold",
    )
    unmeasured: list[str] = Field(
        default=[],
        description="labels of which no validation track was scored by a model that had learnt them; they "
        "keep their former threshold and are part of no mean",
    )
    cross_fitted: bool = Field(
        default=True,
        description="whether precision and recall are measured on tracks that the thresholds were chosen "
        "without; false if all validation tracks are of one artist or album: then they are too high",
    )
    measure: str | None = Field(default=None, description="what `value` and `value_before` are")
    verdict: Literal["better", "undecided", "not_better", "unchanged"] | None = Field(
        default=None,
        description="whether `value` is higher than `value_before`: `undecided` if it is by no more than "
        "chance may do, `unchanged` if every threshold is",
    )
    value_before: float | None = Field(
        default=None,
        description="with the former thresholds, on the same tracks; if they were chosen on these, too high",
    )
    value: float | None = None
    chance: float | None = Field(
        default=None,
        description="of a gain as high if the former thresholds were as good, by a randomization test over "
        "artists; from 0.05 on a gain is `undecided`. Null without a gain",
    )
