"""A dataset that every model learns within seconds."""

from pathlib import Path

import pytest

from core.ml.datasets.examples import Dataset
from core.ml.datasets.folder import read
from core.pretrained.smoke_data import write_clips


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Four labels with six clips of two seconds each."""
    root = tmp_path_factory.mktemp("clips")
    write_clips(root, clips=6, duration_s=2)
    return read(root)


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, so that no test decodes what another has."""
    return tmp_path_factory.mktemp("cache")
