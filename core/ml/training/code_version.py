"""Which code has trained a model: the release, and the commit or the digest of the sources."""

import hashlib
import shutil
import subprocess
from pathlib import Path

from core import VERSION

ML = Path(__file__).resolve().parents[1]
CORE = ML.parent
GIT_TIMEOUT_S = 10


def code_version() -> str:
    """`0.2.0, commit 6b2f6e8b1c2d`, or `0.2.0, sources 1f3c9d0e4b5a6978` without a Git repository.

    `with changes` is added to a commit when files of `core` differ from it.
    """
    commit = _commit(CORE)
    return f"{VERSION}, commit {commit}" if commit else f"{VERSION}, sources {sources_digest()}"


def sources_digest() -> str:
    """A digest of the sources that determine a training's result, in 16 hexadecimal digits."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in training_sources())).hexdigest()[:16]


def training_sources() -> list[Path]:
    """Every module of `core.ml` except those that only choose parameters."""
    return sorted(path for path in ML.rglob("*.py") if path.relative_to(ML).parts[0] != "tuning")


def _commit(folder: Path) -> str | None:
    """The commit of the repository of this folder; None unless Git tracks the folder."""
    tracked = _git(folder, "ls-files", "--error-unmatch", "__init__.py")
    commit = _git(folder, "rev-parse", "--short=12", "HEAD") if tracked else None
    if not commit:
        return None
    changes = _git(folder, "status", "--porcelain", "--", ".")
    return f"{commit} with changes" if changes or changes is None else commit


def _git(folder: Path, *arguments: str) -> str | None:
    """What Git prints; None if it is not installed or fails."""
    program = shutil.which("git")
    if program is None:
        return None
    try:
        done = subprocess.run(
            (program, "-C", str(folder), *arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
