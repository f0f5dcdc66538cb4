"""Sessions of browsers: log in with an API key, log out."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api import schemas
from api.deps import SessionDep, SettingsDep
from api.routes import API, problems
from api.security.access import needs_api_keys
from api.security.browser_sessions import log_in, log_out
from core.errors import SessionNotNeeded

ENDED: dict[int | str, dict[str, Any]] = {204: {"description": "Ended"}}
router = APIRouter(prefix=f"{API}/session", tags=["session"])


@router.post("", status_code=201, responses=problems(400, 401, 403, 409, 413, 422, 429, 503))
def begin_session(
    body: schemas.SessionRequest,
    request: Request,
    response: Response,
    session: SessionDep,
    settings: SettingsDep,
) -> schemas.Session:
    """Exchange an API key for a cookie, for browsers: they cannot send a key with pictures, audio and event
    streams. The cookie may do what the key may, for 30 days at most, and ends with the key.

    With a cookie, writes need `Origin` or `Sec-Fetch-Site`, which browsers send, and which must name this
    server. Programs send the key itself.
    """
    if not needs_api_keys(settings):
        raise SessionNotNeeded
    key, row = log_in(request, response, session, body.key)
    return schemas.Session(scopes=key.scopes, expires_at=row.expires_at)


@router.delete("", status_code=204, responses=ENDED | problems(403, 422, 429, 503))
def end_session(request: Request, response: Response, session: SessionDep) -> None:
    """End the session of the cookie that is sent; without one there is nothing to end."""
    log_out(request, response, session)
