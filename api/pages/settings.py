"""Settings: libraries, API keys, what the server runs with, and its versions."""

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import ValidationError
from sqlalchemy.orm import Session

from api import schemas, views
from api.deps import ADMIN, Admin, Caller, Reader, SessionDep, SessionsDep, SettingsDep
from api.errors import status_of
from api.pages.addresses import redirect
from api.pages.forms import Blank
from api.pages.rendering import render
from api.routes.keys import create_key
from api.routes.system import read_versions
from api.security.access import needs_api_keys
from core.errors import LibraryElsewhere, MFAError
from core.scopes import Scope
from core.services.changes import change_library, delete_library
from core.services.effective_settings import list_settings
from core.settings import Settings
from core.store.api_keys import list_api_keys, revoke_api_key
from core.store.libraries import create_library, list_libraries
from core.store.session import transaction

router = APIRouter(prefix="/settings", include_in_schema=False)

# Lengths are checked by the shapes of REST, so that the sentence stands beside the form.
Text = Annotated[str, Form()]
SCOPES = (
    (Scope.READ, "Read: see everything but keys"),
    (Scope.WRITE, "Write: also submit jobs and correct labels"),
    (Scope.ADMIN, "Admin: also libraries, models and keys"),
)


@router.get("")
def show_settings(
    request: Request, caller: Reader, session: SessionDep, settings: SettingsDep
) -> HTMLResponse:
    return _show(request, session, caller, settings)


@router.post("/libraries")
def add_library(
    request: Request,
    caller: Admin,
    sessions: SessionsDep,
    settings: SettingsDep,
    name: Text = "",
    path: Text = "",
) -> Response:
    try:
        asked = schemas.LibraryRequest(name=name.strip(), path=path.strip())
        with transaction(sessions) as session:
            create_library(session, asked.name, asked.path)
    except (ValidationError, MFAError) as error:
        filled = {"name": name, "path": path}
        with transaction(sessions) as session:
            return _show(request, session, caller, settings, "add", error, filled)
    return redirect(request, "settings#libraries")


@router.post("/libraries/change")
def rename_or_move(
    request: Request,
    caller: Admin,
    sessions: SessionsDep,
    settings: SettingsDep,
    library: Text = "",
    name: Text = "",
    path: Text = "",
    force: Annotated[bool, Form()] = False,
) -> Response:
    try:
        asked = schemas.LibraryChange(name=name.strip(), path=path.strip(), force=force)
        with transaction(sessions) as session:
            change_library(session, library, asked.name, asked.path, force=asked.force)
    except (ValidationError, MFAError) as error:
        filled = {"name": name, "path": path}
        with transaction(sessions) as session:
            return _show(request, session, caller, settings, f"library {library}", error, filled)
    return redirect(request, "settings#libraries")


@router.post("/libraries/remove")
def remove_library(
    request: Request, caller: Admin, sessions: SessionsDep, settings: SettingsDep, library: Text = ""
) -> Response:
    try:
        with transaction(sessions) as session:
            delete_library(session, library)
    except MFAError as error:
        with transaction(sessions) as session:
            return _show(request, session, caller, settings, f"library {library}", error)
    return redirect(request, "settings#libraries")


@router.post("/keys")
def add_key(
    request: Request,
    caller: Admin,
    sessions: SessionsDep,
    settings: SettingsDep,
    name: Text = "",
    scope: Text = Scope.READ,
    expires_in_days: Annotated[str | None, Blank, Form()] = None,
) -> Response:
    """The answer is the only page that shows the key, so it is no redirection."""
    given = {"name": name.strip(), "scope": scope, "expires_in_days": expires_in_days}
    try:
        asked = schemas.ApiKeyRequest.model_validate(given)
    except ValidationError as error:
        with transaction(sessions) as session:
            return _show(request, session, caller, settings, "key", error, given)
    with transaction(sessions) as session:
        new = create_key(asked, session)
    with transaction(sessions) as session:
        return _show(request, session, caller, settings, new_key=new)


@router.post("/keys/{key_id}/revoke", dependencies=[ADMIN])
def revoke(request: Request, key_id: UUID, session: SessionDep) -> Response:
    revoke_api_key(session, key_id)
    return redirect(request, "settings#keys")


def _show(
    request: Request,
    session: Session,
    caller: Caller,
    settings: Settings,
    form: str = "",
    error: ValidationError | MFAError | None = None,
    filled: Mapping[str, str | None] | None = None,
    new_key: schemas.NewApiKey | None = None,
) -> HTMLResponse:
    """`form`: the one that `error` is about, with what was `filled` in."""
    may_change = caller.may(Scope.ADMIN)
    keys = list_api_keys(session) if may_change else []
    return render(
        request,
        "settings.html",
        caller,
        200 if error is None else _status(error),
        may_change=may_change,
        needs_keys=needs_api_keys(settings),
        libraries=[views.library(*row) for row in list_libraries(session)],
        keys=[schemas.ApiKey.model_validate(key) for key in keys],
        new_key=new_key,
        scopes=SCOPES,
        settings=list_settings(settings) if may_change else [],
        versions=read_versions(session),
        form=form,
        error=_sentence(error),
        is_elsewhere=isinstance(error, LibraryElsewhere),
        filled=filled or {},
    )


def _status(error: ValidationError | MFAError) -> int:
    return status_of(error) if isinstance(error, MFAError) else 422


def _sentence(error: ValidationError | MFAError | None) -> str:
    if isinstance(error, ValidationError):
        names = {"expires_in_days": "days", "path": "folder"}
        parts = [
            f"{names.get(str(each['loc'][0]), str(each['loc'][0])).capitalize()}: {each['msg']}."
            for each in error.errors()
        ]
        return " ".join(parts)
    return "" if error is None else error.detail
