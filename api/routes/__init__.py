"""One file per noun. A route parses, calls a service and shapes its answer."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.params import Depends

from api.errors import MEDIA_TYPE, TYPE_PREFIX

API = "/api/v1"
MEANINGS = {
    400: ("bad_request", "The request cannot be read."),
    401: ("unauthenticated", "A valid API key is needed."),
    403: ("forbidden", "The API key lacks the scope for that."),
    404: ("not_found", "It does not exist, or it belongs to another API key."),
    409: ("conflict", "That contradicts what is already there."),
    413: ("body_too_large", "The request body is too large."),
    416: ("range_not_satisfiable", "The file has none of the bytes that `Range` names."),
    422: ("invalid", "The request is not valid; `errors` says where."),
    429: ("too_many_requests", "Too many requests or open jobs; try again after `Retry-After` seconds."),
    500: ("internal", "Something went wrong on the server."),
    503: ("unavailable", "A service this needs does not answer; try again after `Retry-After` seconds."),
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documentation of error responses."""
    return {status: _describe(status, *MEANINGS[status]) for status in statuses}


def _describe(status: int, code: str, meaning: str) -> dict[str, Any]:
    title = code.replace("_", " ").capitalize()
    example = {"type": TYPE_PREFIX + code, "title": title, "status": status, "detail": meaning}
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": meaning, "content": {MEDIA_TYPE: {"schema": schema, "example": example}}}


DELETED: dict[int | str, dict[str, Any]] = {
    204: {"description": "Deleted: from now on no answer contains it; its rows and files are removed later"}
}
GUARDED = problems(401, 403, 422, 429, 503)  # what every route with a key may answer


def make_router(noun: str, dependencies: Sequence[Depends] = ()) -> APIRouter:
    """A router of `/api/v1/<noun>`, whose routes ask for a key."""
    return APIRouter(
        prefix=f"{API}/{noun}",
        tags=[noun],
        dependencies=dependencies,
        responses=GUARDED,
    )
