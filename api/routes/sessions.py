"""Sessions of browsers: log in with an API key, log out."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api import schemas
from api.deps import SessionDep, SettingsDep
from api.routes import API, problems
from api.security.access import needs_api_keys
from api.security.cookies import get_token, remove_token, set_token
from api.security.origins import check_origin
from core.errors import SessionNotNeeded, Unauthenticated
from core.store.api_keys import find_api_key
from core.store.browser_sessions import begin_browser_session, end_browser_session

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
    check_origin(request, has_cookie=False)
    if not needs_api_keys(settings):
        raise SessionNotNeeded
    key = find_api_key(session, body.key)
    if key is None:
        raise Unauthenticated("This API key is not valid.")
    row, token = begin_browser_session(session, key)
    set_token(request, response, token, row.expires_at)
    return schemas.Session(scopes=key.scopes, expires_at=row.expires_at)


@router.delete("", status_code=204, responses=ENDED | problems(403, 422, 429, 503))
def end_session(request: Request, response: Response, session: SessionDep) -> None:
    """End the session of the cookie that is sent; without one there is nothing to end."""
    token = get_token(request)
    check_origin(request, has_cookie=token is not None)
    if token is not None:
        end_browser_session(session, token)
    remove_token(request, response)
