"""Logging in and out of browsers, which exchange an API key for a cookie."""

from fastapi import Request, Response
from sqlalchemy.orm import Session

from api.security.cookies import get_token, remove_token, set_token
from api.security.origins import check_origin
from core.errors import Unauthenticated
from core.store.api_keys import find_api_key
from core.store.browser_sessions import begin_browser_session, end_browser_session
from core.store.tables import ApiKey, BrowserSession

WRONG_KEY = "This API key is not valid: it is misspelt, has expired or has been revoked."


def log_in(request: Request, response: Response, session: Session, key: str) -> tuple[ApiKey, BrowserSession]:
    """Let the response set the cookie of a new session. Raises Forbidden and Unauthenticated."""
    check_origin(request, has_cookie=False)
    found = find_api_key(session, key)
    if found is None:
        raise Unauthenticated(WRONG_KEY)
    row, token = begin_browser_session(session, found)
    set_token(request, response, token, row.expires_at)
    return found, row


def log_out(request: Request, response: Response, session: Session) -> None:
    """End the session of the cookie, if one was sent, and let the response remove it. Raises Forbidden."""
    token = get_token(request)
    check_origin(request, has_cookie=token is not None)
    if token is not None:
        end_browser_session(session, token)
    remove_token(request, response)
