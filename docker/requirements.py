"""Prints the part of requirements.lock, with its hashes, that the product needs with the given extras.

    python docker/requirements.py [--without-cuda] EXTRA... > wanted.txt
    pip install --no-deps --require-hashes --requirement wanted.txt

`--without-cuda` leaves out torch, torchaudio and all that comes only with builds of torch for CUDA.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(sys.argv[0]).resolve().parents[1]
CUDA = re.compile(r"torch$|torchaudio$|triton$|nvidia-|cuda-")


def name_of(requirement: str) -> str:
    """`Foo_bar[extra]>=1` as `foo-bar`, the way the lock spells it."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""


def read_lock(path: Path) -> dict[str, list[str]]:
    """The lines of each package, by its name."""
    packages: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in path.read_text().splitlines():
        if re.match(r"[a-z0-9]", line):
            lines = packages.setdefault(name_of(line), [])
        lines.append(line)
    return packages


def needed_by(lines: list[str]) -> set[str]:
    """The packages that a package is locked for: one behind `# via`, or several on lines of their own."""
    comments = [line.strip().removeprefix("#").strip() for line in lines if line.startswith("    #")]
    return {name_of(comment.removeprefix("via").strip()) for comment in comments}


def select(packages: dict[str, list[str]], wanted: set[str]) -> set[str]:
    """The wanted packages and everything that they need."""
    while more := {name for name, lines in packages.items() if needed_by(lines) & wanted} - wanted:
        wanted = wanted | more
    return wanted


def main(arguments: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [argument for argument in arguments if argument != "--without-cuda"]
    direct = [
        *project["dependencies"],
        *(one for extra in extras for one in project["optional-dependencies"][extra]),
    ]
    packages = read_lock(ROOT / "requirements.lock")
    for name in sorted(select(packages, set(map(name_of, direct)))):
        if "--without-cuda" not in arguments or not CUDA.match(name):
            pinned = [line for line in packages[name] if line and not line.lstrip().startswith("#")]
            sys.stdout.write("\n".join(pinned) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
