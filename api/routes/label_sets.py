"""Label sets: vocabularies of one's own."""

from typing import Annotated, Any

from fastapi import Path, Response

from api import schemas
from api.deps import READ, WRITE, SessionDep
from api.routes import make_router, problems
from core.spelling import clean
from core.store import label_sets as service

router = make_router("label-sets")

Name = Annotated[str, Path(max_length=100, description="name of a label set", examples=["my-genres"])]
EXISTS: dict[int | str, dict[str, Any]] = {
    200: {"model": schemas.LabelSet, "description": "The same label set exists already"}
}


@router.post("", status_code=201, dependencies=[WRITE], responses=EXISTS | problems(400, 409, 413))
def create_label_set(
    body: schemas.LabelSetRequest, session: SessionDep, response: Response
) -> schemas.LabelSet:
    """Name the labels that you want to give. Tracks can be corrected by them before any model has them."""
    found, created = service.create_label_set(
        session, body.name, _labels(body.labels), exclusive=body.exclusive
    )
    if not created:
        response.status_code = 200
    return schemas.LabelSet.model_validate(found)


@router.get("", dependencies=[READ])
def list_label_sets(session: SessionDep) -> schemas.Page[schemas.LabelSet]:
    """All label sets by name."""
    return schemas.Page(
        items=[schemas.LabelSet.model_validate(each) for each in service.list_label_sets(session)]
    )


@router.get("/{name}", dependencies=[READ], responses=problems(404))
def get_label_set(name: Name, session: SessionDep) -> schemas.LabelSet:
    """A label set with its labels in their order."""
    return schemas.LabelSet.model_validate(service.get_label_set(session, name))


@router.patch("/{name}", dependencies=[WRITE], responses=problems(400, 404, 409, 413))
def change_label_set(name: Name, body: schemas.LabelSetChange, session: SessionDep) -> schemas.LabelSet:
    """Rename a label set or replace its labels. What people said of its labels stays."""
    labels = _labels(body.labels) if body.labels is not None else None
    found = service.change_label_set(session, name, body.name, labels, body.exclusive)
    return schemas.LabelSet.model_validate(found)


@router.delete("/{name}", status_code=204, dependencies=[WRITE], responses=problems(404))
def delete_label_set(name: Name, session: SessionDep) -> None:
    """Delete a label set. What people said of its labels stays, and so do models and jobs that used it."""
    service.delete_label_set(session, name)


def _labels(labels: list[schemas.SetLabel]) -> list[service.SetLabel]:
    return [service.SetLabel(clean(each.label), each.facet) for each in labels]
