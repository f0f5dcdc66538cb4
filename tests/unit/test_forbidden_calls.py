"""Data never become code: what the lint rules refuse, and the calls that ruff has no rule for."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.settings import PROJECT

SOURCES = [path for folder in ("api", "core", "workers") for path in (PROJECT / folder).rglob("*.py")]
BUILTINS = {"eval", "exec", "compile", "__import__"}
FLAGS = {"shell", "allow_pickle"}  # keywords that must be a literal False
REFUSED_BY_RUFF = (
    "import pickle",
    "import cPickle",
    "import _pickle",
    "import dill",
    "import cloudpickle",
    "import shelve",
    "import joblib.numpy_pickle",
    "from marshal import loads",
    "from pandas import read_pickle",
    "eval('1')",
    "exec('1')",
    "import builtins\nmap(builtins.exec, texts)",
    "import torch\ntorch.load('x', weights_only=True)",
    "import torch\ntorch.save(model, 'x')",
    "import torch as t\nt.load('x')",
    "from torch import load",
    "import torch\npartial(torch.load)",
    "import torch\ntorch.jit.load('x')",
    "import torch\ntorch.jit.save(model, 'x')",
    "import torch\ntorch.export.load('x')",
    "import torch\ntorch.export.save(model, 'x')",
    "import torch\ntorch.hub.load('x', 'y')",
    "import torch.package",
    "import torch.distributed.checkpoint as c\nc.load({})",
    "import torch.serialization as s\ns.load('x')",
    "from torch.jit._serialization import load",
    "from torch._weights_only_unpickler import load",
    "import numpy as np\nnp.load('x')",
    "import numpy as np\nload = np.load",
    "from numpy import load",
    "import yaml\nyaml.load(text, yaml.SafeLoader)",
    "from yaml import load_all",
    "from yaml import full_load",
    "from yaml import full_load_all",
    "from yaml import unsafe_load",
    "from yaml import unsafe_load_all",
    "import importlib\nimportlib.import_module('x')",
    "from importlib import __import__",
    "import runpy\nrunpy.run_path('x')",
    "from runpy import run_module",
    "import subprocess\nsubprocess.run('ls', shell=True)",
    "import subprocess\nsubprocess.getoutput('ls')",
    "import subprocess\nsubprocess.getstatusoutput('ls')",
    "from os import system as run",
    "import os\nos.popen('ls')",
)
REFUSED_HERE = (
    "map(eval, texts)",
    "compile(text, '', 'exec')",
    "__import__('x')",
    "run('ls', shell=given)",
    "read('x', allow_pickle=True)",
)
ALLOWED = (
    "model.eval()",
    "import re\nre.compile('x')",
    "import numpy as np\nnp.save('x', [1], allow_pickle=False)",
    "import yaml\nyaml.safe_load('x')",
    "import torch\ntorch.export.export(model, ())",
)


def forbidden(source: str) -> Iterator[str]:
    """Builtins that make code out of text, wherever they are named, and flags that are not False."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and node.id in BUILTINS:
            yield node.id
        elif isinstance(node, ast.keyword) and node.arg in FLAGS and not is_false(node.value):
            yield f"{node.arg}=..."


def is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def test_no_data_become_code() -> None:
    assert len(SOURCES) > 200
    found = {path: list(forbidden(path.read_text())) for path in SOURCES}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize("source", REFUSED_HERE)
def test_what_ruff_cannot_express_is_found(source: str) -> None:
    assert list(forbidden(source))


def test_ruff_refuses_the_rest(tmp_path: Path) -> None:
    for number, source in enumerate((*REFUSED_BY_RUFF, *ALLOWED)):
        (tmp_path / f"{number}.py").write_text(source)
    ruff = (sys.executable, "-m", "ruff", "check", "--config", str(PROJECT / "pyproject.toml"), "--no-cache")
    rules = ("--select", "S,TID251", "--ignore", "S607", "--output-format", "concise")
    outcome = subprocess.run((*ruff, *rules, "."), cwd=tmp_path, capture_output=True, text=True)
    refused = {int(line.split(".py:")[0]) for line in outcome.stdout.splitlines() if ".py:" in line}
    assert refused == set(range(len(REFUSED_BY_RUFF)))
    assert not any(list(forbidden(source)) for source in ALLOWED)
