"""Versions of learned models."""

from datetime import datetime
from typing import Any

from pydantic import Field

from api.schemas.base import Request, Response


class Model(Response):
    """A version of a learned model."""

    name: str
    version: int
    kind: str
    aliases: list[str] = Field(description="`default` is the model of jobs that do not name one")
    labels: list[str]
    thresholds: list[float] = Field(
        description="minimum score at which a label is assigned, in the order of `labels`"
    )
    embedding_size: int
    metrics: dict[str, Any]
    sha256: str = Field(description="SHA-256 of the weights, in hex")
    created_at: datetime


class PromotionRequest(Request):
    version: int | None = Field(default=None, ge=1, le=999_999_999, description="the newest by default")
    alias: str = Field(default="default", min_length=1, max_length=200)
