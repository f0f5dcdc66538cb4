"""What docs/OPERATIONS.md says of log lines is of all lines that operators may see, and of no others."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

from core.settings import PROJECT

LEVELS = {"warning": "WARNING", "error": "ERROR", "exception": "ERROR", "critical": "CRITICAL"}
LOGGERS = re.compile(r"^(_?log|_?logger|root|logging\.getLogger\(.*\))$")
PLACE = re.compile(r"%(\.\d+)?[sdr]")
ROW = re.compile(r"^\| `(.+?)` \| ([A-Z]+) \| .+ \| .+ \|$", re.MULTILINE)


def test_every_line_of_a_log_is_explained():
    explained = ROW.findall((PROJECT / "docs" / "OPERATIONS.md").read_text())
    sources = [path for name in ("api", "core", "workers") for path in (PROJECT / name).rglob("*.py")]
    written = {line for path in sources for line in lines_of(path)}
    assert len(written) > 40
    assert sorted(written - set(explained)) == []
    assert sorted(set(explained) - written) == []
    assert len(explained) == len(set(explained))


def lines_of(path: Path) -> Iterator[tuple[str, str]]:
    """The text and the level of each call of a logger, with `...` for its arguments."""
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in LEVELS
            and LOGGERS.match(ast.unparse(node.func.value))
        ):
            text = PLACE.sub("...", text_of(node.args[0], path))
            yield text.replace("...@...", "..."), LEVELS[node.func.attr]


def text_of(argument: ast.expr, path: Path) -> str:
    if isinstance(argument, ast.Name):
        module = ".".join(path.relative_to(PROJECT).with_suffix("").parts)
        return str(getattr(importlib.import_module(module), argument.id))
    assert isinstance(argument, ast.Constant)
    return str(argument.value)
