"""Where one logs in with an API key, on servers that ask for one."""

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response

from api.deps import SessionDep, SettingsDep
from api.pages.addresses import is_own, redirect
from api.pages.rendering import render
from api.security import browser_sessions
from api.security.access import needs_api_keys
from core.errors import Unauthenticated

router = APIRouter(include_in_schema=False)

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
    answer = redirect(request, next if is_own(next) else "")
    if needs_api_keys(settings):
        try:
            browser_sessions.log_in(request, answer, session, key.strip())
        except Unauthenticated as error:
            return render(request, "login.html", None, 401, next=next, error=error.detail)
    return answer


@router.post("/logout")
def log_out(request: Request, session: SessionDep) -> Response:
    answer = redirect(request, "login")
    browser_sessions.log_out(request, answer, session)
    return answer
