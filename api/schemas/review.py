"""Questions to people about labels."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from api.schemas.base import Request, Response
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
    exact: bool = Field(
        default=True,
        description="whether these were counted; else `undecided` is an estimate (standard error 0.7 %)",
    )


class ReviewForecast(Response):
    """How many more corrected tracks give 95 % of the macro-F1 that the model approaches.

    From the learning curve of its training, a power law through the scores after learning from fewer tracks,
    picked at random. Tracks that were corrected since that training count already. The bounds are a 95 %
    interval.
    """

    more: int | None = Field(description="null if that cannot be told, for the `reason`")
    low: int | None
    high: int | None = Field(description="null if it is too far to tell")
    plateau: float | None = Field(description="macro-F1 that the curve approaches")
    reason: str | None
    unmeasured: list[str] = Field(
        default=[], description="labels of the model that this is not about, as they cannot be measured"
    )


class ReleaseRequest(Request):
    tracks: list[UUID] = Field(min_length=1, max_length=100, description="ids of tracks")


class ReviewBatch(Response):
    model: str = Field(description="`name@version`")
    label: str | None
    items: list[ReviewQuestion]
    progress: ReviewProgress
    forecast: ReviewForecast
    warnings: list[str]
