"""The first page: is it healthy, and what now?"""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import uuid4

from fastapi import APIRouter, BackgroundTasks, Request
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session

from api.deps import Reader, SessionDep, SettingsDep
from api.pages.learning import find_learning
from api.pages.rendering import render
from api.routes.system import get_system
from core.errors import ModelNotFound
from core.store.facets import count_facets
from core.store.registry import DEFAULT_ALIAS, resolve_model
from core.store.track_filters import EVERYTHING

router = APIRouter(include_in_schema=False)

TOP_LABELS = 12


@dataclass(frozen=True)
class TopLabel:
    """A label that many tracks have."""

    label: str
    count: int
    percent: float  # of the most frequent one
    query: str  # of the tracks that have it


@dataclass(frozen=True)
class TopLabels:
    labels: Sequence[TopLabel]
    exact: bool  # else the counts are estimates


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
        top=_top_labels(session),
    )


def _top_labels(session: Session) -> TopLabels:
    """There are none while there is no model that labels tracks."""
    try:
        model = resolve_model(session, DEFAULT_ALIAS)
    except ModelNotFound:
        return TopLabels([], exact=True)
    found = count_facets(session, model, EVERYTHING)
    most = max((each.count for each in found.labels), default=0)
    return TopLabels(
        [
            TopLabel(each.label, each.count, 100 * each.count / most, urlencode({"genre": each.label}))
            for each in found.labels[:TOP_LABELS]
            if each.count
        ],
        found.exact,
    )
