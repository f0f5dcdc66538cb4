"""Questions to people about labels."""

from datetime import datetime

from pydantic import Field

from api.schemas.base import Response
from api.schemas.tracks import Track


class ReviewQuestion(Response):
    """A track to correct. Nobody else is asked about its audio until the lease ends, or it is corrected."""

    track: Track
    value: float = Field(
        description="`margin`: distance of the closest decision; `suspect`: the model's least confidence in "
        "what people said; `disagreement`: number of labels that only one model gives; `random`: no meaning"
    )
    leased_until: datetime


class ReviewProgress(Response):
    """Pieces of audio that the model has labelled."""

    decided: int = Field(description="somebody said something of the label or, without one, of any")
    undecided: int
    leased: int = Field(description="somebody is being asked about them, the tracks of this answer included")


class ReviewBatch(Response):
    model: str = Field(description="`name@version`")
    label: str | None
    items: list[ReviewQuestion]
    progress: ReviewProgress
    warnings: list[str]
