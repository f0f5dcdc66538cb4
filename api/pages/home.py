"""The first page: is it healthy, and what now?"""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from api import views
from api.deps import Reader, SessionDep, SettingsDep
from api.pages.rendering import render
from core.jobs.jobs import list_jobs
from core.services.readiness import missing_broker, missing_in_database

router = APIRouter(include_in_schema=False)

MOST_JOBS = 8


@router.get("/")
def show_home(request: Request, caller: Reader, session: SessionDep, settings: SettingsDep) -> HTMLResponse:
    jobs = list_jobs(session, None, MOST_JOBS, visible_to=caller.visible_to)
    return render(
        request,
        "home.html",
        caller,
        missing=[*missing_in_database(session), *missing_broker(settings)],
        jobs=views.job_list(session, jobs.items),
    )
