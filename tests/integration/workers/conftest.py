"""A library of files for the bodies to work on, and what a worker process has of its own."""

from pathlib import Path

import pytest

from core.settings import Settings, get_settings
from core.store.registry import promote_model, register_artifact
from core.store.session import SessionFactory, transaction
from core.store.tables import Model
from tests.integration.workers.music import Music
from tests.support.builders import make_library, make_model
from tests.support.worker import StubTagger
from workers import analysis


@pytest.fixture
def music(clean_database: SessionFactory, tmp_path: Path) -> Music:
    root = tmp_path / "music"
    root.mkdir()
    with transaction(clean_database) as session:
        make_library(session, name="music", path=str(root))
        make_model(session)
    return Music(root, clean_database)


@pytest.fixture
def process_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of the worker, whatever the environment says."""
    settings = Settings(database_url="", broker_url="", data_dir=tmp_path / "data")
    settings.uploads_dir.mkdir(parents=True)
    monkeypatch.setattr(analysis, "get_settings", lambda: settings)
    return settings


@pytest.fixture
def tagger(process_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> StubTagger:
    """A stand-in for the model of every job."""
    stub = StubTagger()
    monkeypatch.setattr(analysis, "get_tagger", lambda model, threads: stub)
    return stub


@pytest.fixture
def registered_model(music: Music) -> Model:
    """The real default model, as `make setup` puts it there; the default of every job."""
    folder = get_settings().models_dir / "musicnn-msd-1"
    if not (folder / "model.json").is_file():
        pytest.fail(f"{folder} is missing: run `make setup` first.", pytrace=False)
    with transaction(music.sessions) as session:
        model = register_artifact(session, folder)
        promote_model(session, model.name, model.version)
    return model
