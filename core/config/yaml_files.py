"""Reading of YAML files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from core.errors import InvalidConfig

_NO_TEXT = "is not a text file in UTF-8; a configuration is written in YAML"


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises InvalidConfig for any other content."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InvalidConfig(f"There is no file {path}.") from error
    except OSError as error:
        raise InvalidConfig(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InvalidConfig(f"{path} {_NO_TEXT}.") from error
    return parse_mapping(text, str(path))


def parse_mapping(text: str, name: str) -> dict[str, Any]:
    """The mapping in a text, which errors call `name`. Raises InvalidConfig for any other content."""
    try:
        content = yaml.safe_load(text)
        _refuse_aliases(text)
    except yaml.reader.ReaderError as error:
        raise InvalidConfig(f"{name} {_NO_TEXT}.") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date or number that cannot be
        raise InvalidConfig(f"{name} is not YAML: {_explain(error)}.") from error
    except RecursionError as error:
        raise InvalidConfig(f"{name} is nested too deeply.") from error
    if not isinstance(content, dict):
        raise InvalidConfig(f"{name} must hold keys and values.")
    if other := [key for key in content if not isinstance(key, str)]:
        raise InvalidConfig(f"{name} has the key {other[0]!r}, which is no text.")
    return content


def dump_mapping(content: Mapping[str, Any]) -> str:
    """The text from which `parse_mapping` reads this content."""
    return yaml.dump(dict(content), Dumper=_WithoutAliases, sort_keys=False, allow_unicode=True)


class _WithoutAliases(yaml.SafeDumper):
    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _refuse_aliases(text: str) -> None:
    """A few of them make a mapping that is endless, or larger than the memory. Raises YAMLError."""
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            place = "" if event.start_mark is None else f" (line {event.start_mark.line + 1})"
            raise yaml.YAMLError(f"the alias *{event.anchor} must be written out{place}")


def _explain(error: yaml.YAMLError | ValueError) -> str:
    """The error and its position in one line."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return " ".join(str(error).split())
    parts = (part for part in (error.context, error.problem) if part)
    place = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
    return ", ".join(parts) + place
