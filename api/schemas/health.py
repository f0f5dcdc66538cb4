"""Whether the server lives and is ready."""

from typing import Literal

from pydantic import Field

from api.schemas.base import Response


class Health(Response):
    status: Literal["ok"]


class Readiness(Response):
    ready: bool
    missing: list[str] = Field(description="what is not there yet, one sentence each")
