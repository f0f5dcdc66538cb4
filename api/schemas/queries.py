"""Queries of tracks that are saved under a name."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from api.schemas.base import Request, Response
from core.config.track_query import QUERY_CHARACTERS


def _addressable(name: str) -> str:
    """In an address, `.` and `..` stand for other addresses, and `/` separates."""
    if not name.strip(".").strip() or "/" in name or not name.isprintable():
        raise ValueError("a name is made of visible characters without `/`, and is not `.` or `..`")
    return name


QueryName = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_addressable)]


class SavedQueryRequest(Request):
    query: str = Field(
        max_length=QUERY_CHARACTERS,
        description="the parameters of `GET /tracks`, as they stand in an address",
    )


class SavedQuery(Response):
    """What it finds is what there is when it is asked: `GET /tracks?<query>`."""

    name: str
    query: str = Field(description="the parameters of `GET /tracks`, in one order")
    created_at: datetime
    updated_at: datetime
