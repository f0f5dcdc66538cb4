"""Sessions of browsers."""

from datetime import datetime

from pydantic import Field

from api.schemas.base import Request, Response, example
from core.scopes import Scope


class SessionRequest(Request):
    model_config = example({"key": "mfa_1a2b3c4d_..."})

    key: str = Field(min_length=1, max_length=200, description="a valid API key")


class Session(Response):
    """What the cookie that came with this answer may do, and until when."""

    model_config = example({"scopes": ["read", "write"], "expires_at": "2026-03-31T12:00:00Z"})

    scopes: list[Scope] = Field(description="those of the key")
    expires_at: datetime
