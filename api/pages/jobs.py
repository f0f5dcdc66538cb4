"""Jobs: the list with its filters, one job, and the form that submits an analysis."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated
from urllib.parse import quote, urlencode
from uuid import UUID, uuid4

from fastapi import APIRouter, Form, Query, Request, Response
from pydantic import Field, ValidationError
from sqlalchemy.orm import Session

from api import schemas, views
from api.deps import ContextDep, Cursor, Reader, SessionDep, SessionsDep, SettingsDep, Writer
from api.pages.addresses import redirect
from api.pages.forms import Blank, Once, mistakes_by_field
from api.pages.job_titles import KINDS
from api.pages.rendering import render
from api.routes import jobs as rest
from core.config.params import AnalysisParams, JobKind
from core.config.yaml_files import dump_mapping
from core.errors import LibraryNotFound, MFAError
from core.jobs import jobs as service
from core.jobs.failures import group_failures
from core.jobs.items import list_items
from core.jobs.jobs import OPEN_JOB_STATES
from core.jobs.submission import submit_job
from core.services.job_activity import describe_activity
from core.services.studies import get_studies
from core.states import ItemState, JobState
from core.store.experiments import has_run
from core.store.libraries import get_library_by_name, list_library_names
from core.store.registry import list_models
from core.store.session import transaction

router = APIRouter(prefix="/jobs", include_in_schema=False)

ON_A_PAGE = 50
ErrorCode = Annotated[str, Field(max_length=100, pattern="^[a-z_]+$")]


@router.get("")
def show_jobs(
    request: Request,
    caller: Reader,
    session: SessionDep,
    kind: Annotated[JobKind | None, Blank, Query()] = None,
    state: Annotated[JobState | None, Blank, Query()] = None,
    library: Annotated[Annotated[str, Field(max_length=200)] | None, Blank, Query()] = None,
    cursor: Cursor = None,
) -> Response:
    page = service.list_jobs(
        session,
        cursor,
        ON_A_PAGE,
        state,
        kind=kind,
        library_id=get_library_by_name(session, library).id if library else None,
        visible_to=caller.visible_to,
    )
    return render(
        request,
        "jobs.html",
        caller,
        jobs=views.job_list(session, page.items),
        next_cursor=page.next_cursor,
        is_filtered=bool(kind or state or library or cursor),
        filters={"kind": kind or "", "state": state or "", "library": library or ""},
        kinds=[("", "All kinds"), *((str(kind), name) for kind, name in KINDS.items())],
        states=[("", "All states"), *((str(state), state.capitalize()) for state in JobState)],
        libraries=[("", "All libraries"), *((name, name) for name in list_library_names(session))],
    )


@router.get("/new")
def show_form(request: Request, caller: Writer, session: SessionDep, library: str = "") -> Response:
    values = {"library": library, "path": "", "model": "default", "force": False, "confirm_empty": False}
    return _render_form(request, caller, session, values, {}, str(uuid4()))


@router.post("/new")
def submit_analysis(
    request: Request,
    caller: Writer,
    sessions: SessionsDep,
    context: ContextDep,
    library: Annotated[str, Form()] = "",
    path: Annotated[str, Form()] = "",
    model: Annotated[str, Form()] = "default",
    force: Annotated[bool, Form()] = False,
    confirm_empty: Annotated[bool, Form()] = False,
    once: Once = "",
) -> Response:
    values = {
        "library": library,
        "path": path,
        "model": model,
        "force": force,
        "confirm_empty": confirm_empty,
    }
    try:
        params = schemas.AnalysisRequest.model_validate({"kind": "analysis", "params": values}).params
        with transaction(sessions) as session:
            submission = submit_job(session, params, replace(context, idempotency_key=once or None))
            return redirect(request, f"jobs/{submission.job.id}")
    except ValidationError as error:
        mistakes = mistakes_by_field(error)
    except MFAError as error:
        mistakes = {"library" if isinstance(error, LibraryNotFound) else "": error.detail}
    with transaction(sessions) as session:
        return _render_form(request, caller, session, values, mistakes, str(uuid4()))


def _render_form(
    request: Request,
    caller: Reader,
    session: Session,
    values: dict[str, object],
    mistakes: dict[str, str],
    once: str,
) -> Response:
    return render(
        request,
        "new_job.html",
        caller,
        422 if mistakes else 200,
        values=values,
        mistakes=mistakes,
        once=once,
        libraries=[(name, name) for name in list_library_names(session)],
        models=[("default", "The default model"), *_models(session)],
        fields={name: field.description for name, field in AnalysisParams.model_fields.items()},
    )


def _models(session: Session) -> Iterator[tuple[str, str]]:
    for model in list_models(session):
        yield model.reference, model.reference


@router.get("/{job_id}")
def show_job(
    request: Request,
    job_id: UUID,
    caller: Reader,
    session: SessionDep,
    code: Annotated[ErrorCode | None, Blank, Query()] = None,
    cursor: Cursor = None,
) -> Response:
    """With `code`, the items that failed with this error code are listed."""
    row = service.get_job(session, job_id, visible_to=caller.visible_to)
    groups, complete = group_failures(session, job_id)
    items = list_items(session, job_id, ItemState.FAILED, cursor, ON_A_PAGE, code) if code else None
    job = views.job(session, row)
    return render(
        request,
        "job.html",
        caller,
        job=job,
        activity=describe_activity(session, row),
        failures=groups,
        all_counted=complete,
        code=code,
        items=[views.item(each) for each in items.items] if items else [],
        next_cursor=items.next_cursor if items else None,
        is_open=job.state in OPEN_JOB_STATES,
        leads_to=list(_results_of(session, job)),
        texts={name: dump_mapping(value) for name, value in job.params.items() if isinstance(value, dict)},
        has_results=job.kind is JobKind.ANALYSIS,
    )


def _results_of(session: Session, job: schemas.Job) -> Iterator[tuple[str, str]]:
    """What the job is about or has made, and the address of its page below that of the server."""
    if job.kind is JobKind.TRAINING and has_run(session, job.id):
        yield "Run", f"training/{job.id}"
    if job.kind is JobKind.TUNING and get_studies(session, [study := _study_of(job)]):
        yield "Study", f"studies/{study}"
    if job.kind is JobKind.MAP:
        shown = {name: job.params[name] for name in ("library", "model") if job.params.get(name)}
        yield "Map", f"map?{urlencode(shown)}"
    if job.kind is JobKind.PREVIEW:
        yield "Preview", f"models/{quote(str(job.params['model']), safe='@')}/preview?job={job.id}"
    made = getattr(job.result, "model", None)
    if made is not None and job.kind in (JobKind.TRAINING, JobKind.THRESHOLDS):
        yield f"Model {made}", f"models/{quote(made, safe='@')}"


def _study_of(job: schemas.Job) -> UUID:
    """A study has the id of its first job; the others name it."""
    return UUID(job.params.get("resume") or str(job.id))


@router.post("/{job_id}/cancel")
def cancel_job(request: Request, job_id: UUID, caller: Writer, session: SessionDep) -> Response:
    service.cancel_job(session, job_id, visible_to=caller.visible_to)
    return redirect(request, f"jobs/{job_id}")


@router.post("/{job_id}/retry")
def retry_job(
    request: Request,
    job_id: UUID,
    caller: Writer,
    session: SessionDep,
    settings: SettingsDep,
    context: ContextDep,
    code: Annotated[ErrorCode | None, Blank, Form()] = None,
) -> Response:
    job = rest.retry_job(job_id, session, settings, caller, context, Response(), code)
    return redirect(request, f"jobs/{job.id}")
