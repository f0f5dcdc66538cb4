"""Trainings: their runs with curves, runs side by side, and the start of one."""

from dataclasses import replace
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy.orm import Session

from api import views
from api.deps import WRITE, ContextDep, Cursor, Reader, SessionDep, SessionsDep, Writer
from api.errors import status_of
from api.pages.addresses import redirect
from api.pages.forms import ConfigText, Once, read_config
from api.pages.measures import headline, measures_of, names_of
from api.pages.rendering import render
from api.pages.run_charts import charts_of, side_by_side
from api.pages.training_form import Filled, FilledDep, fields, write_yaml
from core.config.params import TrainingParams
from core.errors import InvalidConfig, MFAError
from core.jobs.submission import submit_job
from core.services.run_log import read_log
from core.store import experiments as service
from core.store.libraries import list_library_names
from core.store.session import transaction

router = APIRouter(prefix="/training", include_in_schema=False)

ON_A_PAGE = 50
PICTURE = "co_occurrence.png"
USUAL = 6  # fields of the form that are always open
DETAILS = ("head", "epochs", "lr", "folds", "seed")


@router.get("")
def show_runs(request: Request, caller: Reader, session: SessionDep, cursor: Cursor = None) -> HTMLResponse:
    page = service.list_runs(session, cursor, ON_A_PAGE)
    runs = [views.run(row) for row in page.items]
    return render(
        request,
        "training.html",
        caller,
        runs=[(run, headline(run.metrics or {}, {})) for run in runs],
        next_cursor=page.next_cursor,
        most_compared=service.MAX_COMPARED,
    )


@router.get("/new", dependencies=[WRITE])
def show_form(request: Request, caller: Writer, session: SessionDep, filled: FilledDep) -> HTMLResponse:
    """The form, and the configuration that it writes as it is filled in."""
    return _render_form(request, caller, session, filled)


@router.post("")
def start(
    request: Request,
    caller: Writer,
    sessions: SessionsDep,
    context: ContextDep,
    filled: FilledDep,
    text: ConfigText = "",
    once: Once = "",
) -> Response:
    """The run has the id of its job."""
    try:
        params = TrainingParams(experiment=read_config(text))
        with transaction(sessions) as session:
            job_id = submit_job(session, params, replace(context, idempotency_key=once or None)).job.id
    except MFAError as error:
        with transaction(sessions) as session:
            return _render_form(request, caller, session, filled, text, error)
    return redirect(request, f"training/{job_id}")


def _render_form(
    request: Request,
    caller: Writer,
    session: Session,
    filled: Filled,
    text: str | None = None,
    error: MFAError | None = None,
) -> HTMLResponse:
    """`text`: the configuration as somebody has written it, with what is wrong with it."""
    libraries = list_library_names(session)
    if filled.library is None and libraries:
        filled = replace(filled, library=libraries[0])
    mistake = ""
    if text is None and filled.library is not None:
        try:
            text = write_yaml(filled.experiment())
        except InvalidConfig as wrong:
            mistake = wrong.detail
    return render(
        request,
        "new_training.html",
        caller,
        status_of(error) if error else 422 if mistake else 200,
        fields=fields(libraries),
        usual=USUAL,
        values=vars(filled),
        is_detailed=any(getattr(filled, name) is not None for name in DETAILS),
        has_libraries=bool(libraries),
        mistake=mistake,
        text=text or "",
        error=error.detail if error else "",
        once=str(uuid4()),
    )


@router.get("/compare")
def show_comparison(
    request: Request,
    caller: Reader,
    session: SessionDep,
    ids: Annotated[list[UUID] | None, Query(max_length=service.MAX_COMPARED)] = None,
) -> HTMLResponse:
    found = views.comparison(service.compare_runs(session, ids or []))
    epochs = service.list_epochs(session, [run.id for run in found.runs])
    charts = side_by_side(
        {run.model or f"{run.experiment} {run.id}"[:60]: views.epochs(epochs[run.id]) for run in found.runs}
    )
    names = names_of(found.metrics)
    return render(request, "run_comparison.html", caller, found=found, names=names, charts=charts)


@router.get("/{run_id}")
def show_run(request: Request, run_id: UUID, caller: Reader, session: SessionDep) -> HTMLResponse:
    epochs = service.list_epochs(session, [run_id])  # first: a run that is there now had all of them then
    row = service.get_run(session, run_id)
    run = views.run_details(row, epochs[run_id])
    results = run.results or {}
    return render(
        request,
        "run.html",
        caller,
        run=run,
        charts=charts_of(run.epochs),
        measures=measures_of(run.metrics or {}, results.get("intervals", {})),
        log=read_log(session, row, epochs[run_id]),
        picture=PICTURE if PICTURE in run.artifacts else None,
        files=run.artifacts,
    )
