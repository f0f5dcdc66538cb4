"""The base class of every configuration model."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """Refuses unknown keys and is immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)
