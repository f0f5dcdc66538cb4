"""Prints the dependencies that pyproject.toml names, with those of the extras given: for `pip install -r`."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads((Path(sys.argv[0]).resolve().parents[1] / "pyproject.toml").read_text())["project"]
wanted = [*project["dependencies"]]
for extra in sys.argv[1:]:
    wanted += project["optional-dependencies"][extra]
sys.stdout.write("\n".join(wanted) + "\n")
