"""Trainings: their runs with curves, runs side by side, and the start of one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, Response

from api import schemas, views
from api.deps import WRITE, ContextDep, Cursor, Reader, SessionDep, SessionsDep, Writer
from api.pages.addresses import redirect
from api.pages.charts import Chart, line_chart
from api.pages.forms import Once
from api.pages.measures import headline, measures_of, name_of, names_of
from api.pages.rendering import render
from api.schemas.base import refuse_unstorable
from core.config.params import TrainingParams
from core.config.yaml_files import parse_mapping
from core.errors import Invalid
from core.jobs.submission import submit_job
from core.store import experiments as service
from core.store.session import transaction

router = APIRouter(prefix="/training", include_in_schema=False)

ON_A_PAGE = 50
MOST_POINTS = 300  # of a line
LONGEST_TEXT = 100_000  # characters of a configuration
EXAMPLE = """\
experiment_name: my-genres
dataset:
  kind: library
  library: home
  labels_from: genre_tags
model:
  kind: transfer
"""


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
def show_form(request: Request, caller: Writer) -> HTMLResponse:
    return render(request, "new_training.html", caller, text=EXAMPLE, error="", once=str(uuid4()))


@router.post("")
def start(
    request: Request,
    caller: Writer,
    sessions: SessionsDep,
    context: ContextDep,
    text: Annotated[str, Form(max_length=LONGEST_TEXT)] = "",
    once: Once = "",
) -> Response:
    """The run has the id of its job."""
    try:
        experiment = parse_mapping(text, "The text")
        try:
            refuse_unstorable(experiment)
        except ValueError as error:
            raise Invalid(f"The {error}.") from error
        with transaction(sessions) as session:
            params, context = (
                TrainingParams(experiment=experiment),
                replace(context, idempotency_key=once or None),
            )
            job_id = submit_job(session, params, context).job.id
    except Invalid as error:
        return render(
            request, "new_training.html", caller, 422, text=text, error=error.detail, once=str(uuid4())
        )
    return redirect(request, f"training/{job_id}")


@router.get("/compare")
def show_comparison(
    request: Request,
    caller: Reader,
    session: SessionDep,
    ids: Annotated[list[UUID] | None, Query(max_length=service.MAX_COMPARED)] = None,
) -> HTMLResponse:
    found = views.comparison(service.compare_runs(session, ids or []))
    names = names_of(found.metrics)
    return render(request, "run_comparison.html", caller, found=found, names=names)


@router.get("/{run_id}")
def show_run(request: Request, run_id: UUID, caller: Reader, session: SessionDep) -> HTMLResponse:
    epochs = service.list_epochs(session, [run_id])  # first: a run that is there now had all of them then
    run = views.run_details(service.get_run(session, run_id), epochs[run_id])
    results = run.results or {}
    return render(
        request,
        "run.html",
        caller,
        run=run,
        charts=_charts(run.epochs),
        measures=measures_of(run.metrics or {}, results.get("intervals", {})),
        warnings=results.get("warnings", []),
        pictures=[name for name in run.artifacts if name.endswith(".png")],
        files=[name for name in run.artifacts if not name.endswith(".png")],
    )


def _charts(epochs: Sequence[schemas.Epoch]) -> list[Chart]:
    """Of the last fit: the final one, or the fold at work."""
    if not epochs:
        return []
    fold = epochs[-1].fold
    shown = [epoch for epoch in epochs if epoch.fold == fold]
    shown = shown[:: -(-len(shown) // MOST_POINTS)]
    measures = [name for name in shown[-1].validation if name.startswith(("f1_macro", "roc_auc_macro"))]
    found = (
        line_chart(
            "Loss",
            {
                "training": [(each.epoch, each.train_loss) for each in shown if each.train_loss is not None],
                "validation": [
                    (each.epoch, each.validation_loss) for each in shown if each.validation_loss is not None
                ],
            },
        ),
        line_chart(
            "On validation tracks",
            {
                name_of(name): [
                    (each.epoch, value) for each in shown if (value := each.validation.get(name)) is not None
                ]
                for name in measures
            },
        ),
        line_chart("Learning rate", {"learning rate": [(each.epoch, each.learning_rate) for each in shown]}),
    )
    return [chart for chart in found if chart is not None]
