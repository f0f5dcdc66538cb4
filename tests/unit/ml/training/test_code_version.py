"""What a model says of the code that trained it."""

import subprocess
from pathlib import Path

import pytest

from core import VERSION
from core.ml.training import code_version as module
from core.ml.training.code_version import code_version, sources_digest, training_sources


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that Git does not track."""
    (tmp_path / "__init__.py").touch()
    monkeypatch.setattr(module, "CORE", tmp_path)
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    own = ("-c", "user.name=x", "-c", "user.email=x@localhost", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ("git", "-C", folder, *own, *arguments), capture_output=True, text=True
    ).stdout.strip()


def test_the_digest_covers_every_package_that_training_uses():
    packages = {path.relative_to(module.ML).parts[0] for path in training_sources()}
    assert packages >= {"audio", "datasets", "evaluation", "inference", "models", "training"}
    assert "tuning" not in packages


def test_a_release_without_a_repository_names_its_sources(folder, monkeypatch):
    assert code_version() == f"{VERSION}, sources {sources_digest()}"
    monkeypatch.setenv("PATH", "")
    assert code_version() == f"{VERSION}, sources {sources_digest()}"


def test_a_checkout_names_its_commit_and_whether_it_is_changed(folder):
    git(folder, "init", "--quiet")
    assert "sources" in code_version()  # a repository that does not track the package
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "x")
    commit = git(folder, "rev-parse", "HEAD")
    assert code_version() == f"{VERSION}, commit {commit[:12]}"
    (folder / "new.py").touch()
    assert code_version() == f"{VERSION}, commit {commit[:12]} with changes"
