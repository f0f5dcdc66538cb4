"""What a tuning of thresholds answers."""

from pydantic import Field

from api.schemas.base import Response


class ThresholdPoint(Response):
    threshold: float
    precision: float
    recall: float


class LabelThreshold(Response):
    """From which score on a label is given, and what that means on the validation tracks."""

    label: str
    threshold: float
    before: float = Field(description="the threshold until now")
    support: int = Field(description="validation tracks that have the label")
    precision: float | None
    recall: float | None
    front: list[ThresholdPoint] = Field(
        description="precision against recall: thresholds that no other beats in both"
    )


class ThresholdOutcome(Response):
    """What a tuning of thresholds has come to."""

    model: str = Field(description="`name@version`, the same weights with new thresholds")
    labels: list[LabelThreshold]
    unreached: list[str] = Field(
        default=[], description="labels that have `min_precision` at no threshold: theirs is the nearest"
    )
