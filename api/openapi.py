"""The OpenAPI document: what FastAPI derives, with every error as a problem."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.examples import EXAMPLES
from api.schemas import Problem

DESCRIPTION = """
Labels music libraries: genres with scores, embeddings, similar tracks.

Name a folder with `POST /api/v1/libraries`, submit an `analysis` with `POST /api/v1/jobs`, poll the job at
its `Location`, then read `/api/v1/jobs/{id}/results`. Errors are `application/problem+json` (RFC 9457);
their `type` is stable. Lists answer `{items, next_cursor}`; `next_cursor` is the `cursor` of the next page.
"""


def describe(app: FastAPI) -> None:
    """Make the app answer its document."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = build(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def build(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    schemas = document["components"]["schemas"]
    schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= schemas["Problem"].pop("$defs")
    for name, example in EXAMPLES.items():
        schemas[name]["examples"] = [example]
    return document
