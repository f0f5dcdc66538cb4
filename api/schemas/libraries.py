"""Folders of music on the server."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import AfterValidator, Field, model_validator

from api.schemas.base import Request, Response


def _addressable(name: str) -> str:
    """In an address, `.` and `..` stand for other addresses."""
    if {".", ".."} & set(name.split("/")):
        raise ValueError("`.` and `..` cannot be parts of a name")
    return name


LibraryName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_addressable)]


class LibraryRequest(Request):
    name: LibraryName
    path: str = Field(description="absolute path of a folder on the server", min_length=1, max_length=4096)


class LibraryChange(Request):
    """Fields that are left out stay unchanged."""

    name: LibraryName | None = None
    path: str | None = Field(
        default=None, description="absolute path of its folder on the server", min_length=1, max_length=4096
    )

    force: bool = Field(default=False, description="also a folder in which most files of the library are not")

    @model_validator(mode="after")
    def _check_something(self) -> Self:
        if self.name is None and self.path is None:
            raise ValueError("give a `name`, a `path` or both")
        return self


class Library(Response):
    id: UUID
    name: str
    path: str
    created_at: datetime
    tracks: int = Field(description="number of known tracks in the library")
