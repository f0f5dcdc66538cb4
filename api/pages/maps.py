"""The map: all tracks as points, drawn by a script; without it, a picture and a table of regions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import Field
from sqlalchemy.orm import Session

from api import schemas, views
from api.deps import Caller, ContextDep, ModelName, Reader, SessionDep, SessionsDep, Writer
from api.errors import status_of
from api.pages.addresses import redirect
from api.pages.forms import Blank
from api.pages.rendering import render
from core.config.params import JobKind, MapParams
from core.errors import MapNotFound, MFAError, ModelNotFound
from core.jobs import jobs
from core.jobs.jobs import OPEN_JOB_STATES
from core.jobs.submission import submit_job
from core.store import tables
from core.store.libraries import list_library_names
from core.store.maps import find_map
from core.store.registry import DEFAULT_ALIAS, list_models, resolve_model
from core.store.session import transaction

router = APIRouter(prefix="/map", include_in_schema=False)

NO_MODEL = "There is no model yet that places tracks: promote one on the page of models."
FARTHEST_LEVEL = 1  # of the regions in the table; nearer ones are many
MOST_REGIONS = 100
SHOWN_REGIONS = 12  # the rest is folded
LibraryChoice = Annotated[Annotated[str, Field(max_length=200)] | None, Blank]


@dataclass(frozen=True)
class RegionRow:
    """A region as a row of a table."""

    label: str
    tracks: int
    where: str  # on the map, in words
    address: str  # the tracks with its label


@router.get("")
def show_map(
    request: Request,
    caller: Reader,
    session: SessionDep,
    library: Annotated[LibraryChoice, Query()] = None,
    model: ModelName = DEFAULT_ALIAS,
) -> HTMLResponse:
    return _show(request, caller, session, library, model)


@router.post("")
def draw_map(
    request: Request,
    caller: Writer,
    sessions: SessionsDep,
    context: ContextDep,
    library: Annotated[LibraryChoice, Form()] = None,
    model: Annotated[str, Form(max_length=200)] = DEFAULT_ALIAS,
) -> Response:
    try:
        with transaction(sessions) as session:
            submit_job(session, MapParams(model=model, library=library), context)
    except MFAError as wrong:
        with transaction(sessions) as session:
            return _show(request, caller, session, library, model, wrong)
    return redirect(request, f"map{_query(library, model)}")


def _show(
    request: Request,
    caller: Caller,
    session: Session,
    library: str | None,
    reference: str,
    wrong: MFAError | None = None,
) -> HTMLResponse:
    found, error = None, "" if wrong is None else wrong.detail
    try:
        found = find_map(session, resolve_model(session, reference), library)
    except MapNotFound:
        pass
    except ModelNotFound as missing:
        error = missing.detail if reference != DEFAULT_ALIAS else NO_MODEL
    regions = [] if found is None else _regions(found)
    return render(
        request,
        "map.html",
        caller,
        200 if wrong is None else status_of(wrong),
        found=found,
        regions=regions[:SHOWN_REGIONS],
        further_regions=regions[SHOWN_REGIONS:],
        job=_open_job(session, caller),
        error=error,
        library=library or "",
        model=reference,
        query=_query(library, reference),
        libraries=[("", "All libraries"), *((name, name) for name in list_library_names(session))],
        models=[each.reference for each in list_models(session)],
    )


def _query(library: str | None, model: str) -> str:
    """That of the page and of the routes that it reads."""
    given = {"library": library, "model": None if model == DEFAULT_ALIAS else model}
    query = urlencode({name: value for name, value in given.items() if value is not None})
    return f"?{query}" if query else ""


def _open_job(session: Session, caller: Caller) -> schemas.Job | None:
    """The last map that is being drawn."""
    page = jobs.list_jobs(session, None, 1, None, kind=JobKind.MAP, visible_to=caller.visible_to)
    is_open = [row for row in page.items if row.state in OPEN_JOB_STATES]
    return views.job(session, is_open[0]) if is_open else None


def _regions(found: tables.Map) -> Sequence[RegionRow]:
    regions = [schemas.MapRegion.model_validate(each) for each in found.facts["regions"]]
    return [
        RegionRow(each.label, each.tracks, _where(each.x, each.y), urlencode({"genre": each.label}))
        for each in [each for each in regions if each.level == FARTHEST_LEVEL][:MOST_REGIONS]
    ]


def _where(x: int, y: int) -> str:
    """Which ninth of the map it is."""
    across, up = ("left", "", "right")[3 * x // 65_536], ("bottom", "", "top")[3 * y // 65_536]
    return " ".join(part for part in (up, across) if part) or "middle"
