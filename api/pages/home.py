"""The first page: is it healthy, and what now?"""

from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import uuid4

from fastapi import APIRouter, BackgroundTasks, Request
from fastapi.responses import HTMLResponse

from api import schemas
from api.deps import Reader, SessionDep, SettingsDep
from api.pages.learning import find_learning
from api.pages.rendering import render
from api.routes.system import get_system

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class TopLabel:
    """A label that many tracks have."""

    label: str
    count: int
    percent: float  # of the most frequent one
    query: str  # of the tracks that have it


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
        top=_top_labels(system.library),
    )


def _top_labels(totals: schemas.LibraryTotals) -> list[TopLabel]:
    most = max((each.count for each in totals.top_labels), default=0)
    return [
        TopLabel(each.label, each.count, 100 * each.count / most, urlencode({"genre": each.label}))
        for each in totals.top_labels
    ]
