"""Configuration files."""

from pathlib import Path
from typing import Any

import yaml

from core.errors import InvalidConfig


def read_mapping(path: Path) -> dict[str, Any]:
    """The keys and values of a YAML file."""
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise InvalidConfig(f"There is no file {path}.") from error
    except yaml.YAMLError as error:
        raise InvalidConfig(f"{path} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise InvalidConfig(f"{path} must hold keys and values.")
    return content
