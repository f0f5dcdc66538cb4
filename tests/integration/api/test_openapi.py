"""The OpenAPI document: complete, consistent, and with every error as a problem."""

from collections.abc import Iterator
from typing import Any

import pytest

from api import schemas
from api.examples import EXAMPLES
from api.main import create_app
from core.settings import Settings

METHODS = {"get", "post", "delete", "put", "patch"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings(database_url="postgresql://nowhere")).openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert method in METHODS
            yield f"{method.upper()} {path}", operation


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, part in value.items():
            if key == "$ref":
                yield part
            else:
                yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def test_every_route_is_described(document):
    for name, operation in operations(document):
        assert operation["summary"], name
        assert len(operation["description"]) > 20, name
        assert operation["tags"], name


def test_every_guarded_route_documents_its_errors_as_problems(document):
    for name, operation in operations(document):
        statuses = {status for status in operation["responses"] if status >= "400"}
        if "security" in operation:
            assert {"401", "403", "422", "503"} <= statuses, name
        for status in statuses - {"503"} if name == "GET /readyz" else statuses:
            assert list(operation["responses"][status]["content"]) == ["application/problem+json"], name


def test_every_route_but_health_and_the_login_asks_for_a_key(document):
    without = {name for name, operation in operations(document) if "security" not in operation}
    assert without == {"GET /healthz", "GET /readyz", "POST /api/v1/session", "DELETE /api/v1/session"}


def test_every_reference_leads_somewhere(document):
    shapes = document["components"]["schemas"]
    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in shapes
    assert "HTTPValidationError" not in shapes


def has_example(document: dict[str, Any], schema: dict[str, Any]) -> bool:
    """Of its own, or of what it lists."""
    name = schema.get("$ref", "").rpartition("/")[2]
    resolved = document["components"]["schemas"].get(name, schema)
    items = resolved.get("properties", {}).get("items", resolved).get("items")
    parts = resolved.get("anyOf") or resolved.get("oneOf") or [items]
    return "examples" in resolved or all(part and has_example(document, part) for part in parts)


def test_every_json_body_and_answer_has_an_example(document):
    for name, operation in operations(document):
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for body in bodies:
            schema = body.get("content", {}).get("application/json", {}).get("schema")
            is_file = schema is None or schema.get("format") == "binary"
            assert is_file or has_example(document, schema), name


def test_every_example_is_an_instance_of_its_shape():
    for name, example in EXAMPLES.items():
        getattr(schemas, name).model_validate(example)
    for name in schemas.__all__:
        config = getattr(getattr(schemas, name), "model_config", {})
        for example in config.get("json_schema_extra", {}).get("examples", ()):
            getattr(schemas, name).model_validate(example)


def test_operation_ids_are_unique(document):
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(ids) == len(set(ids))


def test_results_document_their_three_formats(document):
    content = document["paths"]["/api/v1/jobs/{job_id}/results"]["get"]["responses"]["200"]["content"]
    assert set(content) == {"application/json", "application/x-ndjson", "text/csv"}


def test_predict_documents_its_form_and_both_answers(document):
    operation = document["paths"]["/api/v1/analysis/predict"]["post"]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["file"]["format"] == "binary"
    assert {"200", "202", "413", "422"} <= set(operation["responses"])
