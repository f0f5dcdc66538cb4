"""Query parameters that a route does not know, or that are repeated, are refused, not ignored."""

import difflib
from collections import Counter
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError

Known = dict[tuple[str, str], dict[str, bool]]  # of a path and method: each parameter, and whether it repeats


def find_parameters(app: FastAPI) -> Known:
    """The query parameters of all routes, as the OpenAPI document has them."""
    return {
        (path, method): {
            each["name"]: _repeats(each["schema"])
            for each in operation.get("parameters", ())
            if each["in"] == "query"
        }
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
    }


def _repeats(schema: dict[str, Any]) -> bool:
    return any(kind.get("type") == "array" for kind in (schema, *schema.get("anyOf", ())))


def check_query(request: Request) -> None:
    """Raises RequestValidationError."""
    method = "get" if request.method == "HEAD" else request.method.lower()
    known = request.app.state.parameters.get((request.scope["route"].path_format, method))
    if known is not None and (mistakes := list(_find_mistakes(request, known))):
        raise RequestValidationError(mistakes)


def _find_mistakes(request: Request, known: dict[str, bool]) -> Iterator[dict[str, Any]]:
    for name, count in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            meant = f"; did you mean `{near[0]}`?" if near else "."
            yield _mistake(name, "unknown_parameter", f"There is no such query parameter{meant}")
        elif count > 1 and not known[name]:
            yield _mistake(name, "repeated_parameter", "This query parameter can be given only once.")


def _mistake(name: str, code: str, message: str) -> dict[str, Any]:
    return {"type": code, "loc": ("query", name), "msg": message}
