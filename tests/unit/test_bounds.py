"""Every number that a client can send has two bounds: none can ask for all memory or for ever."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from api.main import create_app
from core.config.experiment import ExperimentConfig
from core.config.tuning import TuningConfig
from core.settings import Settings

LOWER, UPPER = {"minimum", "exclusiveMinimum"}, {"maximum", "exclusiveMaximum"}
# They are keys and values of an experiment: both ends are tried on it, which has bounds of its own.
OF_THE_SPACE = {"Choices", "FloatRange", "IntRange"}
# Replace what an experiment says, and are checked as part of it.
OF_AN_EXPERIMENT = {"TrainingOverrides"}
COMPARED_ONLY = {"target"}


def unbounded(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        if value.get("type") in ("integer", "number") and not (LOWER & value.keys() and UPPER & value.keys()):
            yield path
        for key, part in value.items():
            if key not in OF_THE_SPACE | OF_AN_EXPERIMENT | COMPARED_ONLY:
                yield from unbounded(part, f"{path}/{key}")
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from unbounded(part, f"{path}/{number}")


@pytest.mark.parametrize("model", [ExperimentConfig, TuningConfig])
def test_every_number_of_a_configuration_is_bounded(model: type[BaseModel]):
    assert list(unbounded(model.model_json_schema())) == []


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].rpartition("/")[2]
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def sent_shapes(document: dict[str, Any]) -> dict[str, Any]:
    """What a client can send: parameters and bodies of all routes, and every shape that they lead to."""
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    sent: dict[str, Any] = {
        operation["operationId"]: [operation.get("parameters", []), operation.get("requestBody", {})]
        for operation in operations
    }
    waiting = list(references(sent))
    while waiting:
        name = waiting.pop()
        if name not in sent:
            sent[name] = document["components"]["schemas"][name]
            waiting += references(sent[name])
    return sent


def test_every_number_of_a_request_is_bounded():
    shapes = sent_shapes(create_app(Settings(database_url="postgresql://nowhere")).openapi())
    assert shapes.keys() >= {"TuningRequest", "TrainingParams", "Windows"}
    assert "Prediction" not in shapes
    assert list(unbounded(shapes)) == []


def test_a_number_without_bounds_is_found():
    assert list(unbounded({"limit": {"type": "integer", "minimum": 1}})) == ["/limit"]
