"""The first page: is it healthy, and what now?"""

from uuid import uuid4

from fastapi import APIRouter, BackgroundTasks, Request
from fastapi.responses import HTMLResponse

from api.deps import Reader, SessionDep, SettingsDep
from api.pages.learning import find_learning
from api.pages.rendering import render
from api.routes.system import get_system

router = APIRouter(include_in_schema=False)


@router.get("/")
def show_home(
    request: Request, caller: Reader, session: SessionDep, settings: SettingsDep, later: BackgroundTasks
) -> HTMLResponse:
    system = get_system(request, caller, session, settings, later)
    return render(
        request,
        "home.html",
        caller,
        system=system,
        learning=find_learning(session),
        once=str(uuid4()),
    )
