"""What makes code out of data stands nowhere in the product; its source is read, not searched as text."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.settings import PROJECT

SOURCES = sorted(path for folder in ("api", "core", "workers") for path in (PROJECT / folder).rglob("*.py"))
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
NAMES = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "importlib.import_module",
    "runpy.run_path",
    "runpy.run_module",
    "os.system",
    "os.popen",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "yaml.load",
    "yaml.load_all",
    "yaml.full_load",
    "yaml.unsafe_load",
    "pandas.read_pickle",
}
PICKLING = re.compile(r"torch(\.\w+)*\.(load|save)")
FLAGS = {"shell", "allow_pickle"}  # keywords that must be a literal False


def names(tree: ast.AST) -> dict[str, str]:
    """What each imported name stands for."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {each.asname: each.name for each in node.names if each.asname}
        elif isinstance(node, ast.ImportFrom):
            found |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
    return found


def dotted(node: ast.expr, known: dict[str, str]) -> str:
    """`np.load` as `numpy.load`; empty for what is no plain name."""
    if isinstance(node, ast.Name):
        return known.get(node.id, node.id)
    if isinstance(node, ast.Attribute) and (owner := dotted(node.value, known)):
        return f"{owner}.{node.attr}"
    return ""


def is_forbidden(name: str) -> bool:
    is_known = name.removeprefix("builtins.") in NAMES or PICKLING.fullmatch(name) is not None
    return is_known or name.split(".")[0] in MODULES


def forbidden(source: str) -> Iterator[str]:
    """Wherever it is named, whether called, passed on or only imported."""
    tree = ast.parse(source)
    known = names(tree)
    safe_loads = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call) and has_no_pickle(node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if is_forbidden(each.name))
        elif isinstance(node, ast.ImportFrom):
            imported = (f"{node.module}.{each.name}" for each in node.names)
            yield from (name for name in imported if is_forbidden(name) or name == "numpy.load")
        elif isinstance(node, ast.Name | ast.Attribute):
            name = dotted(node, known)
            if is_forbidden(name) or (name == "numpy.load" and node not in safe_loads):
                yield name
        elif isinstance(node, ast.keyword) and node.arg in FLAGS and not is_false(node.value):
            yield f"{node.arg}=..."


def has_no_pickle(call: ast.Call) -> bool:
    return any(each.arg == "allow_pickle" and is_false(each.value) for each in call.keywords)


def is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_no_data_becomes_code(path: Path):
    assert list(forbidden(path.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import joblib.numpy_pickle",
        "from marshal import loads",
        "eval('1')",
        "import builtins\nbuiltins.exec('1')",
        "import torch\ntorch.load('x', weights_only=True)",
        "from torch import load\nload('x')",
        "import torch as t\nt.load('x')",
        "import numpy as np\nnp.load('x')",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import numpy as np\nnp.load('x', allow_pickle=given)",
        "import yaml\nyaml.load(text, yaml.SafeLoader)",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "from os import system as run\nrun('ls')",
        "import torch\npartial(torch.load)",
        "import torch\nload = torch.load\nload('x')",
        "import torch\ntorch.jit.load('x')",
        "import torch.serialization as s\ns.load('x')",
        "from torch import load",
        "import importlib\nimportlib.import_module('pickle')",
        "from importlib import import_module",
        "map(eval, texts)",
        "import numpy as np\nload = np.load",
    ],
)
def test_such_a_name_is_found(source):
    assert list(forbidden(source))


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()",
        "import numpy as np\nnp.load('x', allow_pickle=False)",
        "import yaml\nyaml.safe_load('x')",
    ],
)
def test_what_only_looks_like_one_is_none(source):
    assert not list(forbidden(source))
