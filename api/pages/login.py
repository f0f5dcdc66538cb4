"""Where one logs in with an API key, on servers that ask for one."""

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response

from api.deps import SessionDep, SettingsDep
from api.pages.addresses import is_own, redirect
from api.pages.rendering import render
from api.security.access import needs_api_keys
from api.security.cookies import get_token, remove_token, set_token
from api.security.origins import check_origin
from core.store.api_keys import find_api_key
from core.store.browser_sessions import begin_browser_session, end_browser_session

router = APIRouter(include_in_schema=False)

WRONG_KEY = "This API key is not valid: it is misspelt, has expired or has been revoked."
Next = Annotated[str, Query(max_length=2000)]


@router.get("/login")
def show_login(request: Request, settings: SettingsDep, next: Next = "") -> Response:
    if not needs_api_keys(settings):
        return redirect(request, next if is_own(next) else "")
    return render(request, "login.html", None, next=next, error="")


@router.post("/login")
def log_in(
    request: Request,
    session: SessionDep,
    settings: SettingsDep,
    key: Annotated[str, Form(max_length=200)] = "",
    next: Annotated[str, Form(max_length=2000)] = "",
) -> Response:
    check_origin(request, has_cookie=False)
    answer = redirect(request, next if is_own(next) else "")
    if not needs_api_keys(settings):
        return answer
    found = find_api_key(session, key.strip())
    if found is None:
        return render(request, "login.html", None, 401, next=next, error=WRONG_KEY)
    row, token = begin_browser_session(session, found)
    set_token(request, answer, token, row.expires_at)
    return answer


@router.post("/logout")
def log_out(request: Request, session: SessionDep) -> Response:
    token = get_token(request)
    check_origin(request, has_cookie=token is not None)
    if token is not None:
        end_browser_session(session, token)
    answer = redirect(request, "login")
    remove_token(request, answer)
    return answer
