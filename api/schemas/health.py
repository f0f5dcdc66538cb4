"""Health and readiness of the server."""

from typing import Literal

from pydantic import Field

from api.schemas.base import Response


class Health(Response):
    status: Literal["ok"]
    version: str = Field(description="of the server")


class Readiness(Response):
    ready: bool
    missing: list[str] = Field(description="what the server still waits for, one sentence each")
