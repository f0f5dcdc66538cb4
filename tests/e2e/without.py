"""Run a module as if others were not installed: `python -m ... ABSENT,ABSENT MODULE ARGUMENT...`.

What a process imports that its image does not hold is then missed here, not there.
"""

import runpy
import sys
from importlib.abc import MetaPathFinder
from typing import Any


class Absent(MetaPathFinder):
    def __init__(self, names: list[str]) -> None:
        self.names = frozenset(names)

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        if fullname.split(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


if __name__ == "__main__":
    sys.meta_path.insert(0, Absent(sys.argv[1].split(",")))
    module = sys.argv[2]
    sys.argv[:] = sys.argv[2:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
