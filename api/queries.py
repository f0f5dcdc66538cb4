"""Query parameters that a route does not know, or that are repeated, are refused, not ignored."""

import difflib
from collections import Counter
from collections.abc import Iterator
from typing import Any, get_args, get_origin

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.params import ParamTypes


def check_query(request: Request) -> None:
    """Raises RequestValidationError."""
    if not request.query_params:
        return
    fields = get_flat_params(request.scope["route"].dependant)
    known = {
        field.alias: _is_list(field.field_info.annotation)
        for field in fields
        if getattr(field.field_info, "in_", None) == ParamTypes.query
    }
    if mistakes := list(_find_mistakes(request, known)):
        raise RequestValidationError(mistakes)


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(map(_is_list, get_args(annotation)))


def _find_mistakes(request: Request, known: dict[str, bool]) -> Iterator[dict[str, Any]]:
    """`known`: each parameter of the route, and whether it may be repeated."""
    for name, count in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            meant = f"; did you mean `{near[0]}`?" if near else "."
            yield _mistake(name, "unknown_parameter", f"There is no such query parameter{meant}")
        elif count > 1 and not known[name]:
            yield _mistake(name, "repeated_parameter", "This query parameter can be given only once.")


def _mistake(name: str, code: str, message: str) -> dict[str, Any]:
    return {"type": code, "loc": ("query", name), "msg": message}
