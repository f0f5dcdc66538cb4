"""Versions of learned models."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from api.schemas.base import Request, Response


class Offer(Response):
    """How an automatically retrained model compares with the one that serves.

    Measured on tracks that a review picked at random, people corrected, and neither model was trained on:
    the old model by what it serves, the new one by models of its cross-validation, or on its test tracks.
    """

    against: str = Field(description="`name@version` of the old model")
    verdict: Literal["better", "worse", "undecided"] = Field(
        description="`better` or `worse` if the 95 % interval of the difference lies on one side of 0; "
        "never `better` if `lost_labels` has any"
    )
    reason: str | None = Field(description="why it is undecided")
    tracks: int = Field(description="compared")
    trained_on: int = Field(description="corrected tracks left out because the old model was trained on them")
    not_random: int = Field(
        description="corrected tracks left out because no review has picked them at random "
        "(`strategy=random` without a `label`): people, or the other strategies, pick those that the old "
        "model is unsure of or wrong about"
    )
    not_labelled: int = Field(
        description="corrected tracks left out because neither labels of the old model nor, if it is a head, "
        "embeddings are stored"
    )
    lost_labels: list[str] = Field(description="that the old model has and the new one has not")
    new_labels: list[str]
    unmeasured_labels: list[str] = Field(
        default=[],
        description="labels of both that no model of the new one's cross-validation had learnt when it was "
        "tested on them, as all their tracks are of one artist; they are not compared",
    )
    artists: int | None = Field(
        default=None, description="of the tracks, those without one counted as one each: what is resampled"
    )
    labels: int | None = Field(default=None, description="that both models know and some of the tracks have")
    f1_before: float | None = Field(default=None, description="macro-F1 of the old model")
    f1: float | None = Field(default=None, description="macro-F1 of the new model")
    difference: float | None = None
    low: float | None = Field(default=None, description="lower end of the 95 % interval of the difference")
    high: float | None = None


class Model(Response):
    """A version of a learned model."""

    name: str
    version: int
    kind: str
    aliases: list[str] = Field(description="`default` is the model of jobs that do not name one")
    labels: list[str]
    thresholds: list[float] = Field(
        description="minimum score at which a label is assigned, in the order of `labels`; not used with "
        "`single_label`"
    )
    single_label: bool = Field(
        default=False, description="a track gets exactly one label, that with the highest score"
    )
    embedding_size: int
    metrics: dict[str, Any]
    sha256: str = Field(description="SHA-256 of the weights, in hex")
    created_at: datetime
    offer: Offer | None = Field(description="of an automatically retrained model")
    run_id: UUID | None = Field(
        default=None,
        description="the training that made its weights: its `results` have intervals, and say which labels "
        "cannot be measured; null if it is not known here",
    )


class PromotionRequest(Request):
    version: int | None = Field(default=None, ge=1, le=999_999_999, description="the newest by default")
    alias: str = Field(default="default", min_length=1, max_length=200)
