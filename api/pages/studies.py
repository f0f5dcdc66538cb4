"""Studies: the list, one with its pictures and trials, one trial, and the start of a study."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import Field
from sqlalchemy.orm import Session

from api import schemas, views
from api.deps import WRITE, Caller, ContextDep, Cursor, Reader, SessionDep, SessionsDep, Writer
from api.errors import status_of
from api.pages.addresses import redirect, with_query
from api.pages.forms import Blank, ConfigText, Once, read_config
from api.pages.plots import Plot, name_of_choice
from api.pages.rendering import render
from api.pages.study_plots import (
    MOST_DRAWN,
    Complete,
    ParallelPlot,
    choose_drawn,
    front,
    history,
    parallel,
    slices,
    title_of,
    value_of,
)
from api.pages.trial_curves import curves
from api.routes.studies import TrialNumber
from core.config.params import TuningParams
from core.config.tuning import TuningConfig
from core.config.yaml_files import dump_mapping
from core.errors import Invalid, JobNotFound, MFAError
from core.jobs.jobs import OPEN_JOB_STATES, cancel_job, get_job
from core.jobs.submission import submit_job
from core.output.measures import FEW_TRIALS
from core.services import studies as service
from core.services import trial_lists, tuning
from core.services.job_activity import describe_activity
from core.services.trial_lists import Outcome
from core.states import OPEN_TRIAL_STATES, TrialState
from core.store import tables
from core.store.experiments import list_epochs
from core.store.libraries import list_library_names
from core.store.session import transaction

router = APIRouter(prefix="/studies", include_in_schema=False)

ON_A_PAGE = 50
TRIALS_ON_A_PAGE = 30
MOST_COLUMNS = 8  # parameters in the table
EXAMPLE = """\
study_name: my-genres
experiment:
  experiment_name: my-genres
  dataset:
    kind: library
    library: {library}
    labels_from: genre_tags
  model:
    kind: transfer
    head: mlp
space:
  training.lr: {{kind: float, low: 0.0003, high: 0.1, log: true}}
  model.dropout: {{kind: float, low: 0, high: 0.6}}
  training.optimizer: {{kind: categorical, choices: [adamw, nadam, sgd]}}
objectives:
  - metric: roc_auc_macro
sampler: {{kind: tpe}}
n_trials: 20
max_parallel: 2
"""
SAMPLERS = {"tpe": "TPE", "gp": "Gaussian process", "random": "random search", "grid": "grid"}
PRUNERS = {"median": "median pruning", "hyperband": "hyperband"}


@dataclass(frozen=True)
class Line:
    """A study in the list."""

    study: schemas.Study
    search: str
    objectives: str
    best: str


@dataclass(frozen=True)
class Column:
    """Of the table of trials; a click on its head orders the trials by it."""

    title: str
    key: str  # what it is sorted by
    address: str
    order: str  # as `aria-sort` has it: how the table is sorted by it now


@dataclass(frozen=True)
class Pictures:
    """What is drawn of a study by one objective."""

    history: Plot | None
    front: Plot | None
    parallel: ParallelPlot | None
    slices: list[Plot]
    drawn: int
    ended: int  # trials, of which `drawn` are drawn
    details: dict[str, Any]  # what the script shows of a trial under the pointer


@router.get("")
def show_studies(
    request: Request, caller: Reader, session: SessionDep, cursor: Cursor = None
) -> HTMLResponse:
    page = service.list_studies(session, cursor, ON_A_PAGE)
    return render(
        request,
        "studies.html",
        caller,
        lines=[_line(study) for study in views.study_list(session, page.items)],
        next_cursor=page.next_cursor,
    )


def _line(study: schemas.Study) -> Line:
    best = next(iter(study.best.values.values()), None) if study.best else None
    return Line(
        study,
        describe_search(study),
        ", ".join(title_of(objective.metric) for objective in study.objectives),
        "" if best is None else f"{best:.4g}",
    )


def describe_search(study: schemas.Study) -> str:
    names = [SAMPLERS.get(study.sampler, study.sampler), PRUNERS.get(study.pruner, "")]
    return ", ".join(name for name in names if name)


@router.get("/new", dependencies=[WRITE])
def show_form(
    request: Request,
    caller: Writer,
    session: SessionDep,
    like: Annotated[UUID | None, Blank, Query()] = None,
) -> HTMLResponse:
    """The text is that of the study `like`, or an example."""
    if like is not None:
        text = dump_mapping(service.get_study(session, like).study.config)
    else:
        text = EXAMPLE.format(library=next(iter(list_library_names(session)), "home"))
    return render(request, "new_study.html", caller, text=text, error="", once=str(uuid4()))


@router.post("")
def start(
    request: Request,
    caller: Writer,
    sessions: SessionsDep,
    context: ContextDep,
    text: ConfigText = "",
    once: Once = "",
) -> Response:
    """The study has the id of its first job."""
    try:
        params = TuningParams(study=read_config(text))
        with transaction(sessions) as session:
            submission = submit_job(session, params, replace(context, idempotency_key=once or None))
            return redirect(request, f"studies/{submission.job.id}")
    except MFAError as error:
        return render(
            request,
            "new_study.html",
            caller,
            status_of(error),
            text=text,
            error=error.detail,
            once=str(uuid4()),
        )


Metric = Annotated[Annotated[str, Field(max_length=100)] | None, Blank, Query()]
State = Annotated[TrialState | None, Blank, Query()]
Sort = Annotated[str, Query(max_length=300)]


@router.get("/{study_id}")
def show_study(
    request: Request,
    study_id: UUID,
    caller: Reader,
    session: SessionDep,
    objective: Metric = None,
    state: State = None,
    sort: Sort = "number",
    cursor: Cursor = None,
) -> HTMLResponse:
    return _show(request, caller, session, study_id, objective, state, sort, cursor)


@router.post("/{study_id}/resume")
def resume(
    request: Request,
    study_id: UUID,
    caller: Writer,
    sessions: SessionsDep,
    context: ContextDep,
    n_trials: Annotated[str, Form(max_length=20)] = "",
    once: Once = "",
) -> Response:
    try:
        with transaction(sessions) as session:
            wanted = _count_of(n_trials)
            tuning.resume_study(session, study_id, wanted, replace(context, idempotency_key=once or None))
            return redirect(request, f"studies/{study_id}")
    except MFAError as wrong:
        error = wrong
    with transaction(sessions) as session:
        return _show(request, caller, session, study_id, error=error)


def _count_of(text: str) -> int:
    try:
        return schemas.ResumeRequest(n_trials=int(text)).n_trials
    except ValueError as error:
        raise Invalid("The number of further trials is a whole number from 1 to 10000.") from error


@router.post("/{study_id}/cancel")
def cancel(request: Request, study_id: UUID, caller: Writer, session: SessionDep) -> Response:
    """Cancel its last job; the trials that have ended stay."""
    job_id = service.get_study(session, study_id).study.job_id
    if job_id is None:
        raise JobNotFound
    cancel_job(session, job_id, visible_to=caller.visible_to)
    return redirect(request, f"studies/{study_id}")


@router.post("/{study_id}/train")
def train(
    request: Request,
    study_id: UUID,
    caller: Writer,
    sessions: SessionsDep,
    context: ContextDep,
    trial: Annotated[Annotated[int, Field(ge=0, le=999_999_999)] | None, Blank, Form()] = None,
    once: Once = "",
) -> Response:
    """Train its best trial, or the one of this number, and show the run."""
    try:
        with transaction(sessions) as session:
            once_only = replace(context, idempotency_key=once or None)
            job = tuning.train_best(session, study_id, once_only, number=trial).job
            return redirect(request, f"training/{job.id}")
    except MFAError as wrong:
        error = wrong
    with transaction(sessions) as session:
        return _show(request, caller, session, study_id, error=error)


@router.get("/{study_id}/trials/{number}")
def show_trial(
    request: Request, study_id: UUID, number: TrialNumber, caller: Reader, session: SessionDep
) -> HTMLResponse:
    row = service.get_study(session, study_id)
    found = trial_lists.get_trial(session, study_id, number)
    trial = views.trials(row, [found], list_epochs(session, [found.id]))[0]
    return render(
        request,
        "trial.html",
        caller,
        study=row.study,
        trial=trial,
        is_open=row.state in OPEN_JOB_STATES,
        values=[(title_of(metric), value) for metric, value in (trial.values or {}).items()],
        params=[(key, name_of_choice(value)) for key, value in sorted((trial.params or {}).items())],
        inactive=sorted(row.study.config["space"].keys() - (trial.params or {}).keys())
        if trial.params
        else [],
        plots=curves(trial.curve),
        has_next=number + 1 < sum(row.counts.values()),
        once=str(uuid4()),
    )


def _show(
    request: Request,
    caller: Caller,
    session: Session,
    study_id: UUID,
    metric: str | None = None,
    state: TrialState | None = None,
    sort: str = "number",
    cursor: str | None = None,
    error: MFAError | None = None,
) -> HTMLResponse:
    row = service.get_study(session, study_id)
    config = TuningConfig.model_validate(row.study.config)
    metrics: list[str] = [objective.metric for objective in config.objectives]
    if metric is not None and metric not in metrics:
        raise Invalid(f"This study has no objective {metric!r}: {', '.join(metrics)}.")
    [study] = views.study_list(session, [row])
    page = trial_lists.list_trial_page(session, row.study, cursor, TRIALS_ON_A_PAGE, sort=sort, state=state)
    chosen = metric or metrics[0]
    shares = (row.study.importances or {}).get(chosen, {})
    keys = order_keys(config, shares)
    on_front = service.find_front_numbers(session, study_id, config) if len(metrics) > 1 else []
    job = _job_of(session, caller, row)
    complete = row.counts.get(TrialState.COMPLETE, 0)
    return render(
        request,
        "study.html",
        caller,
        status_of(error) if error else 200,
        study=study,
        search=describe_search(study),
        objectives=[(each.metric, title_of(each.metric), each.direction) for each in study.objectives],
        chosen=chosen,
        chosen_title=title_of(chosen),
        error=error.detail if error else "",
        job=views.job(session, job) if job else None,
        waits_for=describe_activity(session, job).waits_for if job else [],
        is_open=row.state in OPEN_JOB_STATES,
        may_cancel=job is not None and job.state in ("queued", "running") and caller.may("write"),
        front=on_front,
        pictures=draw(session, row, config, metrics.index(chosen), keys, on_front),
        importances=sorted(shares.items(), key=lambda each: -each[1]),
        complete=complete,
        is_rough=complete < FEW_TRIALS,
        reasons=service.list_reasons(session, study_id),
        trials=views.trials(row, page.items, {}),
        next_cursor=page.next_cursor,
        is_first_page=cursor is None,
        keys=keys[:MOST_COLUMNS],
        left_out=len(keys) - len(keys[:MOST_COLUMNS]),
        columns=_columns(request, config, keys[:MOST_COLUMNS], sort),
        sorts=[(name, _title_of_column(name)) for name in _both_ways(row)],
        states=[("", "All states"), *((str(each), each.capitalize()) for each in TrialState)],
        state=state or "",
        sort=sort,
        once=str(uuid4()),
    )


def _job_of(session: Session, caller: Caller, row: service.StudyRow) -> tables.Job | None:
    """The last job of a study, if the caller may see it."""
    with suppress(JobNotFound):
        if row.study.job_id is not None:
            return get_job(session, row.study.job_id, visible_to=caller.visible_to)
    return None


def order_keys(config: TuningConfig, shares: Mapping[str, float]) -> list[str]:
    """All keys of the space, those first that matter most."""
    return sorted(config.space, key=lambda key: (-shares.get(key, 0), key))


def draw(
    session: Session,
    study: service.StudyRow,
    config: TuningConfig,
    objective: int,
    keys: Sequence[str],
    on_front: Sequence[int],
) -> Pictures:
    """Pictures by one objective, of a bounded number of trials."""
    chosen, study_id = config.objectives[objective], study.study.id
    drawn_of_front = set(on_front[: service.MOST_BEST])
    outcomes = trial_lists.list_outcomes(
        session,
        study_id,
        objective,
        maximizes=chosen.maximizes,
        most=MOST_DRAWN,
        also=drawn_of_front,
    )
    drawn = choose_drawn(outcomes, drawn_of_front)
    rows = service.list_trials(session, study_id, [each.number for each in drawn])
    complete = [
        Complete(each.number, value, each.values or (), row.params or {})
        for each, row in _paired(drawn, rows)
        if (value := value_of(each, objective)) is not None
    ]
    best = drawn_of_front or {each.number for each in [each for each in drawn if each.is_best][-1:]}
    shown = keys[:MOST_COLUMNS]
    return Pictures(
        history=history(chosen.metric, objective, drawn),
        front=front(config, drawn, drawn_of_front) if len(config.objectives) > 1 else None,
        parallel=parallel(config, chosen.metric, keys, complete, best) if complete else None,
        slices=slices(config, chosen.metric, keys, complete, best) if complete else [],
        drawn=len(drawn),
        ended=sum(count for state, count in study.counts.items() if state not in OPEN_TRIAL_STATES),
        details={
            "names": [*(title_of(each.metric) for each in config.objectives), *shown],
            "trials": {row.number: _details(row, len(config.objectives), shown) for row in rows},
        },
    )


def _paired(drawn: Sequence[Outcome], rows: Sequence[tables.Trial]) -> list[tuple[Outcome, tables.Trial]]:
    """Each with its row; without those that have been deleted meanwhile."""
    by_number = {row.number: row for row in rows}
    return [(each, by_number[each.number]) for each in drawn if each.number in by_number]


def _details(row: tables.Trial, objectives: int, keys: Sequence[str]) -> list[str]:
    """State, values and parameters; a dash for what it does not have."""
    params = row.params or {}
    values = [f"{value:.4g}" for value in row.values] if row.values else ["–"] * objectives
    return [row.state, *values, *(name_of_choice(params[key]) if key in params else "–" for key in keys)]


def _columns(request: Request, config: TuningConfig, keys: Sequence[str], sort: str) -> list[Column]:
    objectives = [f"values.{objective.metric}" for objective in config.objectives]
    better_first = {
        f"values.{objective.metric}": "-" if objective.maximizes else "" for objective in config.objectives
    }
    found = []
    for key in ("number", "state", *objectives, *(f"params.{key}" for key in keys), "duration"):
        first = better_first.get(key, "") + key
        turned = first.removeprefix("-") if first.startswith("-") else f"-{first}"
        order = {key: "ascending", f"-{key}": "descending"}.get(sort, "none")
        address = with_query(request, sort=turned if sort == first else first, cursor=None)
        found.append(Column(_title_of_key(key), key, f"{address}#trials", order))
    return found


def _title_of_key(key: str) -> str:
    if key.startswith("values."):
        return title_of(key.removeprefix("values."))
    if key.startswith("params."):
        return key.removeprefix("params.")
    return {"number": "Trial", "state": "State", "duration": "Took"}[key]


def _both_ways(row: service.StudyRow) -> list[str]:
    return [way + name for name in trial_lists.sort_columns(row.study) for way in ("", "-")]


def _title_of_column(sort: str) -> str:
    title = _title_of_key(sort.removeprefix("-"))
    return f"{title}, from high to low" if sort.startswith("-") else title
