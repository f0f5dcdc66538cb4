"""Typed configuration of features, models and jobs; torch-free, so the gateway can validate before queueing."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Config(BaseModel):
    """Base of every configuration: unknown keys are refused and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Windows(Config):
    """Look at `windows` evenly spaced windows of a track only."""

    windows: Annotated[int, Field(ge=1, le=1000)]


Coverage = Literal["full"] | Windows
