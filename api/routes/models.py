"""Models: versions of learned models, and the aliases that point to them."""

from typing import Annotated

from fastapi import Path, Query, Response
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.orm import Session

from api import schemas, views
from api.deps import ADMIN, READ, ContextDep, Cursor, ReadsDep, SessionDep, SessionsDep
from api.model_comparison import side_by_side
from api.routes import DELETED, make_router, problems
from api.waiting import NOT_DONE_YET, Prefer, answer_in_time
from core.config.params import PreviewParams
from core.jobs.kinds import SubmissionContext
from core.jobs.submission import Submission, submit_job
from core.services import changes
from core.store import registry as service
from core.store.experiments import find_trainings
from core.store.model_comparison import compare_models as compare
from core.store.session import SessionFactory, transaction
from core.store.tables import Job, Model

router = make_router("models")

DEFAULTS = schemas.PreviewOptions()
ModelLimit = Annotated[int | None, Query(ge=1, le=1000, description="models per page; not given: all in one")]
Version = Annotated[str, Path(max_length=210, description="`name@version`", examples=["my-genres@2"])]
Reference = Annotated[
    str, Path(max_length=200, description="alias, `name` or `name@version`", examples=["my-genres@2"])
]
Name = Annotated[str, Path(max_length=200, description="name of a model", examples=["musicnn-msd"])]


@router.get("", dependencies=[READ])
def list_models(
    session: SessionDep, cursor: Cursor = None, limit: ModelLimit = None
) -> schemas.Page[schemas.Model]:
    """Every version of every model by name, of one name the newest first."""
    return _page(session, None, cursor, limit)


@router.get("/compare", dependencies=[READ], responses=problems(404))
def compare_models(
    session: SessionDep,
    models: Annotated[
        list[str],
        Query(max_length=10, description="aliases, `name` or `name@version`, repeated or with commas"),
    ],
) -> schemas.ModelComparison:
    """Two to ten models side by side: labels, thresholds, measures with intervals, and training data.

    `comparable` says whether they were measured on the same tracks in the same way, `reasons` why not. To
    compare what they say of a library, use `POST /models/{name}/preview`.
    """
    named = [each.strip() for part in models for each in part.split(",")]
    return side_by_side(compare(session, named), service.list_aliases(session))


@router.get("/{name}", dependencies=[READ], responses=problems(404))
def list_versions(
    name: Name, session: SessionDep, cursor: Cursor = None, limit: ModelLimit = None
) -> schemas.Page[schemas.Model]:
    """The versions of one model, newest first."""
    return _page(session, name, cursor, limit)


def _page(
    session: Session, name: str | None, cursor: str | None, limit: int | None
) -> schemas.Page[schemas.Model]:
    aliases, page = service.list_aliases(session), service.page_models(session, name, cursor, limit)
    runs = find_trainings(session, page.items)
    items = [views.model(row, aliases, runs.get(row.id)) for row in page.items]
    return schemas.Page(items=items, next_cursor=page.next_cursor)


def _seen(session: SessionDep, model: Model) -> schemas.Model:
    return views.model(model, service.list_aliases(session), find_trainings(session, [model]).get(model.id))


@router.post("/rollback", dependencies=[ADMIN], responses=problems(409))
def roll_back(session: SessionDep) -> schemas.Model:
    """Make the model the default that was it before the last promotion; the two change places."""
    model = service.roll_back(session)
    return _seen(session, model)


@router.post(
    "/{name}/preview",
    response_model=schemas.PreviewOutcome | schemas.Job,
    responses=NOT_DONE_YET | problems(400, 404, 409, 413, 500),
)
async def preview_model(
    name: Reference,
    response: Response,
    sessions: SessionsDep,
    reads: ReadsDep,
    context: ContextDep,
    prefer: Prefer = None,
    body: schemas.PreviewOptions = DEFAULTS,
) -> schemas.Outcome | schemas.Job:
    """Say what would change if this model served: 200 with the answer if it comes in time, else 202.

    Computed from stored embeddings and predictions, without opening a file: which labels how many tracks
    would gain and lose, the tracks whose scores change most, and how both models decide where people did.
    Nothing is changed. The same as a job of kind `preview`.
    """
    params = PreviewParams(model=name, against=body.against, library=body.library)
    submission = await run_in_threadpool(_submit, sessions, params, context)
    return await answer_in_time(reads, submission, prefer, response, _outcome)


def _submit(sessions: SessionFactory, params: PreviewParams, context: SubmissionContext) -> Submission:
    with transaction(sessions) as session:
        return submit_job(session, params, context)


def _outcome(session: Session, job: Job) -> schemas.Outcome | None:
    return views.job(session, job).result


@router.post("/{name}/promote", dependencies=[ADMIN], responses=problems(400, 404, 413))
def promote_model(name: Name, body: schemas.PromotionRequest, session: SessionDep) -> schemas.Model:
    """Point an alias at a version. `default` is the model of jobs that name none.

    What was the default until then becomes `previous`.
    """
    model = service.promote_model(session, name, body.version, body.alias)
    return _seen(session, model)


@router.delete("/{name}", status_code=204, dependencies=[ADMIN], responses=DELETED | problems(404, 409))
def delete_model(name: Version, session: SessionDep) -> None:
    """Delete one version of a model with all that it says of any track, and its files.

    409 for the default model, one that another alias than `previous` names, a member of an ensemble, and
    while an open job uses it. The version is never given again.
    """
    changes.delete_model(session, name)
