"""Errors as RFC 9457 problems: which error has which status, and the handlers that write the response."""

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy import exc
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from api.mistakes import read_mistakes
from api.schemas import FieldError, Problem
from core.errors import (
    Conflict,
    Forbidden,
    IdempotencyKeyReused,
    Invalid,
    ItemError,
    MFAError,
    NotFound,
    TooManyJobs,
    Unauthenticated,
    Unavailable,
)

log = logging.getLogger(__name__)

TYPE_PREFIX = "urn:mfa:error:"
MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = "5"


class BodyTooLarge(MFAError):
    """The request body is larger than this server accepts."""


class BodyTooSlow(MFAError):
    """The request body did not arrive in time."""


class ForeignHost(MFAError):
    """This server answers without API keys, so only to requests addressed to this machine itself."""


class RangeNotSatisfiable(MFAError):
    """The file has none of the bytes that `Range` names."""


class TooManyRequests(MFAError):
    """This caller asks too often; try again after `Retry-After` seconds."""


class Internal(MFAError):
    """Something went wrong on the server; its log has the details under this request's `X-Request-Id`."""


# The entry of the nearest base class counts.
STATUS: dict[type[MFAError], int] = {
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    BodyTooSlow: 408,
    Conflict: 409,
    BodyTooLarge: 413,
    RangeNotSatisfiable: 416,
    ForeignHost: 421,
    Invalid: 422,
    ItemError: 422,
    IdempotencyKeyReused: 422,
    TooManyJobs: 429,
    TooManyRequests: 429,
    MFAError: 500,
    Unavailable: 503,
}
HEADERS = {
    401: {"WWW-Authenticate": 'Bearer realm="mfa"'},
    429: {"Retry-After": RETRY_AFTER_S},
    503: {"Retry-After": RETRY_AFTER_S},
}
CLOSE = {"Connection": "close"}  # the rest of a refused body is not worth reading


def status_of(error: MFAError) -> int:
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem(
    code: str,
    status: int,
    detail: str,
    errors: Sequence[FieldError] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    body = Problem(
        type=TYPE_PREFIX + code,
        title=code.replace("_", " ").capitalize(),
        status=status,
        detail=detail,
        errors=list(errors) if errors else None,
    )
    return JSONResponse(
        body.model_dump(exclude_none=True),
        status,
        HEADERS.get(status, {}) | (headers or {}),
        media_type=MEDIA_TYPE,
    )


def problem_of(error: MFAError, headers: dict[str, str] | None = None) -> Response:
    return problem(error.code, status_of(error), error.detail, headers=headers)


async def answer_error(_: Request, error: Any) -> Response:
    return problem_of(error)


async def answer_invalid(_: Request, error: Any) -> Response:
    """Say what is wrong with the first field, and with each in `errors`."""
    fields = read_mistakes(error)
    more = f" {len(fields)} fields are wrong, as `errors` says." if len(fields) > 1 else ""
    detail = f"The request is not valid: {fields[0].location}: {fields[0].detail}{more}"
    return problem("invalid", 422, detail, fields)


async def answer_http(_: Request, error: Any) -> Response:
    """What the router itself refuses: no such path, no such method, a form it cannot read."""
    phrase = HTTPStatus(error.status_code).phrase
    detail = "There is nothing at this address." if error.status_code == 404 else str(error.detail)
    code = phrase.lower().replace(" ", "_").replace("-", "_")
    return problem(code, error.status_code, detail, headers=error.headers)


async def answer_unstorable(request: Request, error: Any) -> Response:
    """Values that pass as text or number, but not into the database: a NUL, an integer out of range."""
    log.info("%s %s: %s", request.method, request.url.path, error.orig)
    return problem_of(Invalid("A value is out of range, or holds a character that cannot be stored."))


async def answer_database_away(request: Request, error: Any) -> Response:
    reason = getattr(error, "orig", None) or error  # without the statement and its values
    log.error("%s %s: the database does not answer: %s", request.method, request.url.path, reason)
    return problem_of(Unavailable("The database does not answer; try again shortly."))


async def answer_nobody(_: Request, __: Any) -> Response:
    """The client has gone in mid-request; nobody will read this."""
    return Response(status_code=400)


def add_error_handlers(app: FastAPI) -> None:
    """Make every error of a route a problem."""
    app.add_exception_handler(MFAError, answer_error)
    app.add_exception_handler(RequestValidationError, answer_invalid)
    app.add_exception_handler(HTTPException, answer_http)
    app.add_exception_handler(ClientDisconnect, answer_nobody)
    app.add_exception_handler(exc.DataError, answer_unstorable)
    for away in (exc.OperationalError, exc.InterfaceError, exc.TimeoutError):
        app.add_exception_handler(away, answer_database_away)
