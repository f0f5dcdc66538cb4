"""docker/compose.yml as Docker Compose reads it, and the images' own variables."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from itertools import chain
from typing import Any

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from core.settings import PROJECT

DOCKER = PROJECT / "docker"
FILE = DOCKER / "compose.yml"
VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?::([-?])([^}]*))?\})")


class Missing(Exception):
    """A variable without a default is not set."""


def load(**variables: str) -> dict[str, Any]:
    """The file with its variables replaced."""

    def replace(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        if name is None:
            return "$"
        if variables.get(name):
            return variables[name]
        if kind == "?":
            raise Missing(rest)
        return rest or ""

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: walk(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [walk(inner) for inner in value]
        return VARIABLE.sub(replace, value) if isinstance(value, str) else value

    content: dict[str, Any] = walk(yaml.safe_load(FILE.read_text()))
    return content


def image_environment(dockerfile: str) -> dict[str, str]:
    """The variables that the image sets in its last stage, but for PATH."""
    stage = (DOCKER / dockerfile).read_text().replace("\\\n", " ").split("\nFROM ")[-1]
    lines = [line.removeprefix("ENV ") for line in stage.splitlines() if line.startswith("ENV ")]
    pairs = [pair.split("=", 1) for line in lines for pair in line.split()]
    return {name: value for name, value in pairs if name != "PATH"}


def selected(*arguments: str) -> list[Requirement]:
    """What docker/requirements.py prints, without the hashes, as far as it is for this machine and Python."""
    argv = (sys.executable, str(DOCKER / "requirements.py"), *arguments)
    printed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    lines = [line.removesuffix(" \\") for line in printed.splitlines() if not line.startswith(" ")]
    found = map(Requirement, lines)
    return [each for each in found if not each.marker or each.marker.evaluate()]


def packages_of_image(*extras: str) -> set[str]:
    return {canonicalize_name(requirement.name) for requirement in selected(*extras)}


def dependencies(*extras: str) -> set[str]:
    """Every package that pyproject.toml and the installed packages ask for."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    optional = [project["optional-dependencies"][extra] for extra in extras]
    waiting = [Requirement(line) for line in chain(project["dependencies"], *optional)]
    found: set[tuple[str, str]] = set()  # packages, each with an extra or none
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        more = {(name, extra) for extra in ("", *wanted.extras)} - found
        found |= more
        for need in map(Requirement, importlib.metadata.requires(name) or []):
            if any(not need.marker or need.marker.evaluate({"extra": extra}) for _, extra in more):
                waiting.append(need)
    return {name for name, _ in found}


def foreign_modules(*extras: str) -> list[str]:
    """The modules that are installed here and would not be in an image with these extras."""
    known = packages_of_image(*extras) | {"music-feature-analysis"}
    modules = importlib.metadata.packages_distributions()
    return sorted(
        module for module, owners in modules.items() if not known & {canonicalize_name(own) for own in owners}
    )
