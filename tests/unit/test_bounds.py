"""Every number that a client can send has two bounds: none can ask for all memory or for ever."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from api.main import create_app
from core.experiment_config import ExperimentConfig
from core.settings import Settings
from core.tuning_config import TuningConfig

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


def test_every_number_of_a_request_is_bounded():
    document = create_app(Settings(database_url="postgresql://nowhere")).openapi()
    shapes = {name: shape for name, shape in document["components"]["schemas"].items() if is_sent(name)}
    parameters = [
        operation.get("parameters", []) for path in document["paths"].values() for operation in path.values()
    ]
    assert len(shapes) >= 10
    assert list(unbounded([shapes, parameters])) == []


def is_sent(name: str) -> bool:
    return name.endswith(("Request", "Params", "Coverage", "Overrides"))


def test_a_number_without_bounds_is_found():
    assert list(unbounded({"limit": {"type": "integer", "minimum": 1}})) == ["/limit"]
