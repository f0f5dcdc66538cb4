"""Base classes of requests and responses."""

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

T = TypeVar("T")


def example(content: dict[str, Any]) -> ConfigDict:
    """The configuration of a shape with an example for the OpenAPI document."""
    return ConfigDict(json_schema_extra={"examples": [content]})


def refuse_unstorable(body: Any) -> None:
    """No text column can hold a NUL or half of a surrogate pair. Walks without recursion, however deep."""
    waiting = [body]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str):
            if "\0" in value:
                raise ValueError("text cannot contain a NUL character")
            if any("\ud800" <= char <= "\udfff" for char in value):
                raise ValueError("text must be valid Unicode")


class Request(BaseModel):
    """A JSON body; unknown keys are refused, so that a misspelt one does not silently become a default."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _check_text(cls, body: Any) -> Any:
        refuse_unstorable(body)
        return body


class Response(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Page(Response, Generic[T]):
    items: list[T]
    next_cursor: str | None = Field(
        default=None, description="the `cursor` of the next page; null on the last one"
    )
