"""Predictions of a model."""

from typing import Annotated

from pydantic import Field

from api.schemas.base import Response
from core.states import LabelSource, Verdict

Scores = Annotated[
    dict[str, float], Field(description="score of every label of the model that is asked for, 0 to 1")
]


class Label(Response):
    label: str
    score: float = Field(description="of the model; 1 for a label that a person gave")
    source: LabelSource = Field(LabelSource.MODEL, description="`corrected`: a person gave the label")


Corrections = Annotated[
    dict[str, Verdict],
    Field(description="what people said of labels; where they are `unsure`, the model's label stands"),
]


class Prediction(Response):
    """The prediction of a model for one piece of audio."""

    labels: list[Label] = Field(
        description="labels that people gave, then those of the model at or above their threshold that "
        "nobody refused; highest score first"
    )
    duration_s: float
    model: str = Field(description="`name@version`", examples=["musicnn-msd@1"])
    warnings: list[str] = Field(
        [], description="what part of the audio could not be decoded and was left out"
    )
    scores: Scores | None = None
