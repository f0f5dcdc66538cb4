"""Vocabularies of one's own."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from api.schemas.base import Request, Response
from api.schemas.corrections import LabelName
from core.spelling import name_key

SetName = Annotated[
    str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$", examples=["my-genres"])
]


class SetLabel(Request):
    label: LabelName
    facet: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="what kind of label it is, such as `genre` or `mood`"
    )


def _distinct(labels: list[SetLabel]) -> list[SetLabel]:
    seen: set[str] = set()
    for each in labels:
        if name_key(each.label) in seen:
            raise ValueError(f"the label {each.label!r} is named twice")
        seen.add(name_key(each.label))
    return labels


SetLabels = Annotated[list[SetLabel], Field(min_length=1, max_length=5000), AfterValidator(_distinct)]
EXCLUSIVE = (
    "a track has one label of each facet: in training, a yes to one means no to the others of its facet; "
    "corrections themselves are not changed"
)


class LabelSetRequest(Request):
    name: SetName
    labels: SetLabels
    exclusive: bool = Field(default=False, description=EXCLUSIVE)


class LabelSetChange(Request):
    """Fields that are left out stay unchanged."""

    name: SetName | None = None
    labels: SetLabels | None = None
    exclusive: bool | None = Field(default=None, description=EXCLUSIVE)

    @model_validator(mode="after")
    def _check_something(self) -> Self:
        if self.name is None and self.labels is None and self.exclusive is None:
            raise ValueError("give a `name`, `labels`, `exclusive` or several of them")
        return self


class LabelInSet(Response):
    label: str
    facet: str | None


class LabelSet(Response):
    """A vocabulary, which exists before any model that gives its labels."""

    name: str
    labels: list[LabelInSet]
    exclusive: bool = Field(description=EXCLUSIVE)
    created_at: datetime
    updated_at: datetime
