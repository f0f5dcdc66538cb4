"""What is wrong with the fields of a request, in plain words.

Values that came in are not repeated: they may be secret, huge or not JSON.
"""

import difflib
import re
from collections.abc import Iterator
from typing import Any

from fastapi.exceptions import RequestValidationError

from api.schemas import FieldError
from core.config.errors import known_keys
from core.spelling import nearest

QUOTED = re.compile(r"'([^']*)'")
NOT_AN_OBJECT = ("model_attributes_type", "model_type", "dict_type")
EXPECTED = {
    "bool_parsing": "`true` or `false`",
    "bool_type": "`true` or `false`",
    "float_parsing": "A number",
    "float_type": "A number",
    "int_parsing": "A whole number",
    "int_type": "A whole number",
    "int_from_float": "A whole number",
    "list_type": "A list",
    "string_type": "A text",
    "uuid_parsing": "A whole id of 32 hexadecimal digits, with or without hyphens,",
    "uuid_type": "A whole id of 32 hexadecimal digits, with or without hyphens,",
}
NO_JSON = FieldError(
    location="header.content-type",
    code="content_type",
    detail="The body is read as JSON only with the header `Content-Type: application/json`.",
)


def read_mistakes(error: RequestValidationError, shape: Any = None) -> list[FieldError]:
    """A field is named once, also when it matches none of several shapes. `shape`: that of the body."""
    if isinstance(error.body, bytes) and error.body:
        return [NO_JSON]  # FastAPI has parsed any other body
    found: dict[str, FieldError] = {}
    for mistake in error.errors():
        words = _no_such_key(mistake, shape) if mistake["type"] == "extra_forbidden" else _words(mistake)
        place, code, detail = _location(mistake, error.body), mistake["type"], _sentence(words)
        if place in found:
            code, detail = found[place].code, f"{found[place].detail} Or: {detail}"
        found[place] = FieldError(location=place, code=code, detail=detail)
    return list(found.values())


def _location(mistake: dict[str, Any], body: Any) -> str:
    """Where the client wrote it: the names that pydantic gives to members of a union are no keys."""
    where, *path = mistake["loc"]
    keys = list(_keys(path, body, mistake["type"])) if where == "body" else path
    if mistake["type"].startswith("union_tag"):
        keys.append(_discriminator(mistake))
    return ".".join(map(str, (where, *keys)))


def _keys(path: list[Any], value: Any, kind: str) -> Iterator[Any]:
    """Those parts of a path that lead through the body; of what is missing, also the last one."""
    if not isinstance(value, dict | list):
        yield from path
        return
    for number, part in enumerate(path, 1):
        try:
            value = value[part]
        except (LookupError, TypeError):
            if kind != "missing" or number < len(path):
                continue
        yield part


def _discriminator(mistake: dict[str, Any]) -> str:
    return str(mistake["ctx"]["discriminator"]).strip("'")


def _words(mistake: dict[str, Any]) -> str:
    kind, context = mistake["type"], mistake.get("ctx", {})
    if kind in ("enum", "literal_error"):
        return _one_of(QUOTED.findall(context["expected"]), mistake["input"])
    if kind == "union_tag_invalid":
        return _one_of(QUOTED.findall(context["expected_tags"]), context["tag"])
    if kind in ("missing", "union_tag_not_found"):
        return "It is missing"
    if kind == "string_pattern_mismatch" and mistake["loc"][-1] == "id_prefix":
        return "The beginning of an id is expected: digits, letters from a to f, and hyphens"
    if kind in EXPECTED:
        return f"{EXPECTED[kind]} is expected"
    if kind in NOT_AN_OBJECT:
        return "A JSON object is expected"
    if kind == "json_invalid":
        return f"This is not JSON: {context['error']}"
    if kind == "value_error":
        return str(context["error"])
    return str(mistake["msg"]).replace("Input should", "It should")


def _no_such_key(mistake: dict[str, Any], shape: Any) -> str:
    """With the key that is nearest, among those that may stand there."""
    _, *path = mistake["loc"]
    near = nearest(str(path[-1]), known_keys(shape, path)) if path else None
    return f"There is no such key{f'; did you mean `{near}`?' if near else ''}"


def _one_of(known: list[str], given: Any) -> str:
    """`One of ... is expected; did you mean ...?`"""
    names = [f"`{name}`" for name in known]
    expected = f"One of {', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
    near = difflib.get_close_matches(given, known, n=1) if isinstance(given, str) else []
    return f"{expected} is expected{f'; did you mean `{near[0]}`?' if near else ''}"


def _sentence(text: str) -> str:
    """It begins with a capital letter and ends with a full stop, or as a question."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}{'' if text.endswith('?') else '.'}"
