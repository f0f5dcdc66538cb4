"""Retrainings: models that are trained again once enough tracks have been corrected."""

from typing import Annotated

from fastapi import Path, Response

from api import schemas, views
from api.deps import READ, WRITE, ContextDep, SessionDep, Writer
from api.routes import make_router, problems
from api.routes.jobs import accepted
from core.services import retraining as service

router = make_router("retrainings")

Name = Annotated[str, Path(max_length=200, description="name of a model", examples=["my-genres"])]


@router.get("", dependencies=[READ])
def list_retrainings(session: SessionDep) -> schemas.Page[schemas.Retraining]:
    """Which models are, or were, trained again by themselves, and what became of it."""
    return schemas.Page(items=[views.retraining(session, row) for row in service.list_retrainings(session)])


@router.get("/{name}", dependencies=[READ], responses=problems(404))
def get_retraining(name: Name, session: SessionDep) -> schemas.Retraining:
    """When the models of this name are trained again, and what became of it last."""
    return views.retraining(session, service.get_retraining(session, name))


@router.get("/{name}/progress", dependencies=[READ], responses=problems(404))
def get_retraining_progress(name: Name, session: SessionDep) -> schemas.RetrainingProgress:
    """How many tracks have been corrected since the last training, also where no retraining is set up.

    422 for models that were not trained here on a library.
    """
    return views.retraining_progress(service.look_ahead(session, name))


@router.post("/{name}/train", status_code=202, dependencies=[WRITE], responses=problems(404, 409))
def train_now(name: Name, session: SessionDep, context: ContextDep, response: Response) -> schemas.Job:
    """Submit now the training that would be submitted after enough corrected tracks.

    It learns what the last one did, with what people have said since, and counts as the last try; nobody has
    to have set retraining up. The new model is offered; nothing is promoted. 409 while one is open.
    """
    submission = service.train_now(session, name, context)
    return accepted(response, submission, views.job(session, submission.job))


@router.put("/{name}", responses=problems(400, 404, 413))
def set_up_retraining(
    name: Name, body: schemas.RetrainingRequest, session: SessionDep, caller: Writer
) -> schemas.Retraining:
    """Retrain the models of this name automatically, each time `after_tracks` tracks have been corrected.

    One job at a time is submitted, in the name of who sets this up, within a minute. It learns what the last
    one did, with what people have said since. The new model is compared with the one that serves and offered;
    nothing is promoted.
    """
    row = service.set_up(session, name, body.after_tracks, body.library, caller.owner)
    return views.retraining(session, row)


@router.delete("/{name}", status_code=204, dependencies=[WRITE], responses=problems(404))
def turn_off_retraining(name: Name, session: SessionDep) -> None:
    """Turn automatic retraining off. A job that is open goes on."""
    service.turn_off(session, name)
