"""Error messages for invalid configurations, with suggestions for misspelt keys."""

import difflib
import typing
from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Any

from pydantic import BaseModel, ValidationError


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """One sentence per mistake."""
    return " ".join(_sentence(dict(mistake), model) for mistake in error.errors(include_url=False))


def _sentence(mistake: dict[str, Any], model: type[BaseModel]) -> str:
    location: tuple[int | str, ...] = mistake["loc"]
    owners, path = _follow([model], location)
    key = ".".join(path) or "The configuration"
    if mistake["type"] == "extra_forbidden":
        known = _keys_of(owners)
        near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."
        return f"Unknown key {key!r}: {hint}"
    return f"{key}: {mistake['msg'].removeprefix('Value error, ')}."


def known_keys(shape: Any, location: Sequence[int | str]) -> list[str]:
    """The keys that may stand where the last one of a location does; `shape`: a model or a union of some."""
    return _keys_of(_follow(list(models_in(shape)), location)[0])


def _keys_of(owners: Sequence[type[BaseModel]]) -> list[str]:
    return sorted({name for owner in owners for name in owner.model_fields})


def _follow(
    owners: list[type[BaseModel]], location: Sequence[int | str]
) -> tuple[list[type[BaseModel]], list[str]]:
    """The models that may contain the last key of a location, and the path of keys.

    pydantic includes the tag of a union member in the location, which is not a key in the file.
    """
    path: list[str] = []
    for index, part in enumerate(map(str, location)):
        tagged = [owner for owner in owners if tag_of(owner) == part]
        if tagged and len(owners) > 1:
            owners = tagged
            continue
        path.append(part)
        if index < len(location) - 1:
            fields = [owner.model_fields[part] for owner in owners if part in owner.model_fields]
            if fields:  # otherwise it is a mapping key or an index
                owners = [inner for field in fields for inner in models_in(field.annotation)]
    return owners, path


def tag_of(model: type[BaseModel]) -> str | None:
    """The `kind` of a member of a tagged union."""
    field = model.model_fields.get("kind")
    if field is None:
        return None
    if typing.get_origin(field.annotation) is typing.Literal:
        return str(typing.get_args(field.annotation)[0])
    return str(field.default)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif isinstance(annotation, UnionType) or typing.get_origin(annotation) is not None:
        for inner in typing.get_args(annotation):
            yield from models_in(inner)
