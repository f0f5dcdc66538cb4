"""Predictions of a model."""

from typing import Annotated

from pydantic import Field

from api.schemas.base import Response

Scores = Annotated[dict[str, float], Field(description="score of every label of the model, 0 to 1")]


class Label(Response):
    label: str
    score: float


class Prediction(Response):
    """The prediction of a model for one piece of audio."""

    labels: list[Label] = Field(description="labels at or above their threshold, highest score first")
    duration_s: float
    model: str = Field(description="`name@version`", examples=["musicnn-msd@1"])
    warnings: list[str] = Field(
        [], description="what part of the audio could not be decoded and was left out"
    )
    scores: Scores | None = None
