"""API keys."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from api.schemas.base import Request, Response
from core.scopes import Scope


class ApiKeyRequest(Request):
    name: str = Field(min_length=1, max_length=200, description="a name to recognise the key by")
    scope: Scope = Field(description="`read`, `write` or `admin`; each includes the ones before it")
    expires_in_days: int | None = Field(default=None, ge=1, le=36_500)


class ApiKey(Response):
    id: UUID
    name: str
    prefix: str = Field(description="the part of the key after `mfa_`, to find it again")
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class NewApiKey(ApiKey):
    key: str = Field(description="the key itself, shown this once")
