"""The default model and the sample library, as `make setup` puts them there."""

from pathlib import Path

import pytest

from core.settings import get_settings


@pytest.fixture(scope="session")
def default_model() -> Path:
    """Folder of the default model."""
    return _required(get_settings().models_dir / "musicnn-msd-1", "model.json")


@pytest.fixture(scope="session")
def sample_library() -> Path:
    """Folder of the sample tracks."""
    return _required(get_settings().data_dir / "samples", "calm/calm_acoustic_1.opus")


def _required(folder: Path, content: str) -> Path:
    if not (folder / content).is_file():
        pytest.fail(f"{folder} is missing or incomplete: run `make setup` first.", pytrace=False)
    return folder
