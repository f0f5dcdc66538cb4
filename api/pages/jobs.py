"""Jobs: the list with its filters."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from api import views
from api.deps import Cursor, Reader, SessionDep
from api.pages.forms import Blank
from api.pages.rendering import render
from core.jobs.jobs import list_jobs
from core.states import JobState

router = APIRouter(prefix="/jobs", include_in_schema=False)

ON_A_PAGE = 50


State = Annotated[JobState | None, Blank, Query()]


@router.get("")
def show_jobs(
    request: Request, caller: Reader, session: SessionDep, state: State = None, cursor: Cursor = None
) -> HTMLResponse:
    page = list_jobs(session, cursor, ON_A_PAGE, state, visible_to=caller.visible_to)
    return render(
        request,
        "jobs.html",
        caller,
        jobs=views.job_list(session, page.items),
        next_cursor=page.next_cursor,
        state=state,
        states=list(JobState),
    )
