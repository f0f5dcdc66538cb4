"""Studies: searches for hyper-parameters, their trials, and what to do with what they found."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Path, Query, Response

from api import schemas, views
from api.deps import ADMIN, READ, ContextDep, Cursor, IdPrefix, Limit, SessionDep, SettingsDep
from api.routes import DELETED, make_router, problems
from api.routes.jobs import accepted
from core.services import changes, trial_lists, tuning
from core.services import studies as service
from core.states import TrialState
from core.store.experiments import list_epochs

router = make_router("studies")

CURVES_PER_PAGE = 20  # trials: a curve may have many thousands of points
TrialNumber = Annotated[int, Path(ge=0, le=999_999_999, examples=[1])]
Sort = Annotated[
    str,
    Query(
        max_length=300,
        pattern=r"^-?(number|state|duration|values\..+|params\..+)$",
        description="`number`, `state`, `duration`, `values.<objective>` or `params.<key of the space>`; "
        "with a `-` in front from high to low. Trials without a value come last.",
    ),
]
THE_BEST = schemas.BestRequest()
PICTURE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The picture",
        "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.get("", dependencies=[READ])
def list_studies(
    session: SessionDep, id_prefix: IdPrefix = None, cursor: Cursor = None, limit: Limit = 100
) -> schemas.Page[schemas.Study]:
    """All studies, newest first. Whoever may read models may read how their parameters were found."""
    page = service.list_studies(session, cursor, limit, id_prefix)
    return schemas.Page(items=views.study_list(session, page.items), next_cursor=page.next_cursor)


@router.get("/{study_id}", dependencies=[READ], responses=problems(404))
def get_study(study_id: UUID, session: SessionDep, settings: SettingsDep) -> schemas.StudyDetails:
    """A study with its best trials or Pareto front, the first hundred trials, and why others failed."""
    return views.study_details(
        session, service.get_study(session, study_id), service.list_plots(study_id, settings.studies_dir)
    )


@router.get("/{study_id}/trials", dependencies=[READ], responses=problems(404))
def list_trials(
    study_id: UUID,
    session: SessionDep,
    curves: Annotated[bool, Query(description="their points too; a page then has at most 20")] = False,
    state: Annotated[TrialState | None, Query(description="only those of this state")] = None,
    sort: Sort = "number",
    cursor: Cursor = None,
    limit: Limit = 100,
) -> schemas.Page[schemas.TrialDetails]:
    """The trials of a study, in the order in which they were added or that of another column."""
    row = service.get_study(session, study_id)
    page = trial_lists.list_trial_page(
        session,
        row.study,
        cursor,
        min(limit, CURVES_PER_PAGE) if curves else limit,
        sort=sort,
        state=state,
    )
    epochs = list_epochs(session, [trial.id for trial in page.items]) if curves else {}
    return schemas.Page(items=views.trials(row, page.items, epochs), next_cursor=page.next_cursor)


@router.get("/{study_id}/trials/{number}", dependencies=[READ], responses=problems(404))
def get_trial(study_id: UUID, number: TrialNumber, session: SessionDep) -> schemas.TrialDetails:
    """A trial with its curve."""
    row = service.get_study(session, study_id)
    trial = trial_lists.get_trial(session, study_id, number)
    return views.trials(row, [trial], list_epochs(session, [trial.id]))[0]


@router.delete("/{study_id}", status_code=204, dependencies=[ADMIN], responses=DELETED | problems(404, 409))
def delete_study(study_id: UUID, session: SessionDep) -> None:
    """Delete a study with its trials and pictures. Its jobs and the models trained from it stay.

    409 while a job of it is open.
    """
    changes.delete_study(session, study_id)


@router.get(
    "/{study_id}/plots/{name}.png",
    dependencies=[READ],
    response_class=Response,
    responses=PICTURE | problems(404),
)
def get_plot(
    study_id: UUID,
    name: Annotated[str, Path(max_length=100, examples=["history"])],
    session: SessionDep,
    settings: SettingsDep,
) -> Response:
    """A picture: history, importances, parallel_coordinates, pareto_front or slice."""
    picture = service.read_plot(session, study_id, name, settings.studies_dir)
    return Response(picture, media_type="image/png")


@router.post("/{study_id}/resume", status_code=202, responses=problems(400, 404, 409, 413))
def resume_study(
    study_id: UUID,
    body: schemas.ResumeRequest,
    session: SessionDep,
    context: ContextDep,
    response: Response,
) -> schemas.Job:
    """Add trials to a study whose last job has ended: a new job on the same study."""
    submission = tuning.resume_study(session, study_id, body.n_trials, context)
    return accepted(response, submission, views.job(session, submission.job))


@router.post("/{study_id}/train-best", status_code=202, responses=problems(400, 404, 409, 413))
def train_best(
    study_id: UUID,
    session: SessionDep,
    context: ContextDep,
    response: Response,
    body: schemas.BestRequest = THE_BEST,
) -> schemas.Job:
    """Train the best trial's experiment with all its epochs and register the model: a training job."""
    submission = tuning.train_best(session, study_id, context, number=body.trial)
    return accepted(response, submission, views.job(session, submission.job))
