"""Models: versions of learned models, and the aliases that point to them."""

from typing import Annotated

from fastapi import Path

from api import schemas, views
from api.deps import ADMIN, READ, SessionDep
from api.routes import DELETED, make_router, problems
from core.services import changes
from core.store import registry as service

router = make_router("models")

Version = Annotated[str, Path(max_length=210, description="`name@version`", examples=["my-genres@2"])]
Name = Annotated[str, Path(max_length=200, description="name of a model", examples=["musicnn-msd"])]


@router.get("", dependencies=[READ])
def list_models(session: SessionDep) -> schemas.Page[schemas.Model]:
    """Every version of every model, newest first."""
    return _page(session, None)


@router.get("/{name}", dependencies=[READ], responses=problems(404))
def list_versions(name: Name, session: SessionDep) -> schemas.Page[schemas.Model]:
    """The versions of one model, newest first."""
    return _page(session, name)


def _page(session: SessionDep, name: str | None) -> schemas.Page[schemas.Model]:
    aliases = service.list_aliases(session)
    return schemas.Page(items=[views.model(row, aliases) for row in service.list_models(session, name)])


@router.post("/rollback", dependencies=[ADMIN], responses=problems(409))
def roll_back(session: SessionDep) -> schemas.Model:
    """Make the model the default that was it before the last promotion; the two change places."""
    model = service.roll_back(session)
    return views.model(model, service.list_aliases(session))


@router.post("/{name}/promote", dependencies=[ADMIN], responses=problems(400, 404, 413))
def promote_model(name: Name, body: schemas.PromotionRequest, session: SessionDep) -> schemas.Model:
    """Point an alias at a version. `default` is the model of jobs that name none.

    What was the default until then becomes `previous`.
    """
    model = service.promote_model(session, name, body.version, body.alias)
    return views.model(model, service.list_aliases(session))


@router.delete("/{name}", status_code=204, dependencies=[ADMIN], responses=DELETED | problems(404, 409))
def delete_model(name: Version, session: SessionDep) -> None:
    """Delete one version of a model with all that it says of any track, and its files.

    409 for the default model, one that another alias than `previous` names, a member of an ensemble, and
    while an open job uses it. The version is never given again.
    """
    changes.delete_model(session, name)
