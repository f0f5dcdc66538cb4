"""One gateway with some jobs, and one browser, for all tests of this folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from selenium.webdriver import Chrome

from api.main import create_app
from core.ml.audio.waveform import Waveform
from core.settings import Settings, get_settings
from core.states import JobState
from core.store.experiments import save_epochs
from core.store.session import SessionFactory
from core.store.waveforms import save_waveforms
from tests.integration.api.conftest import keyed_url, open_settings
from tests.integration.api.gateway import running
from tests.support.builders import (
    make_analysed_track,
    make_finished_job,
    make_job,
    make_library,
    make_map,
    make_model,
    make_run,
    make_study,
    make_track,
    make_trial,
    make_unit,
)
from tests.support.chromium import chromium, complaints, find_programs, resize
from tests.support.held_out import RESULTS, make_report, write_held_out
from tests.support.sounds import tone, write

__all__ = ["keyed_url", "open_settings"]

HOSTILE = '<img src=x onerror=alert(1)> & "quotes" \'.mp3'


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser/" in item.path.as_posix():
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def chrome() -> Iterator[Chrome]:
    programs = find_programs()
    if programs is None:
        pytest.skip("chromium and chromedriver are not installed: no browser tests")
    with chromium(programs) as browser:
        yield browser


@pytest.fixture
def browser(chrome: Chrome) -> Iterator[Chrome]:
    """Logged out, on a desktop; its console must stay silent."""
    chrome.delete_all_cookies()
    resize(chrome, 1440)
    complaints(chrome)
    yield chrome
    said = complaints(chrome)
    chrome.get("about:blank")
    assert said == []


@pytest.fixture
def filled(clean_database: SessionFactory, tmp_path: Path) -> SessionFactory:
    """A library of labelled tracks, a model, a run, and a job of each state, one with failed tracks."""
    write_held_out(tmp_path)
    (tmp_path / "jazz").mkdir()
    with clean_database.begin() as session:
        library = make_library(session, name="music", path=str(tmp_path))
        model = make_model(session, artifact_url=tmp_path.as_uri())
        tracks = []
        for number in range(3):
            path = f"jazz/{number}.wav"
            write(tmp_path / path, tone(220, 1))
            status = (tmp_path / path).stat()  # or its audio would count as changed
            known: Any = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
            tracks.append(make_analysed_track(session, library, model, path, **known))
        waveform = Waveform(1.0, 0.25, bytes([40, 90, 200, 120]), bytes([20, 50, 110, 60]))
        save_waveforms(session, {track.content_hash or b"": waveform for track in tracks})
        places = [(20_000, 20_000), (21_000, 22_000), (50_000, 45_000)]
        audio = [track.content_hash or b"" for track in tracks]
        make_map(session, model, [(digest, x, y) for digest, (x, y) in zip(audio, places, strict=True)])
        failed = make_track(session, library, path=HOSTILE)
        make_finished_job(session, library, model, tracks, [failed])
        running = make_job(
            session, state=JobState.RUNNING, total=10, library_id=library.id, model_id=model.id
        )
        make_unit(session, running, done=4)
        make_job(session, state=JobState.FAILED, error_code="job_failed", error_detail="It failed.")
        study = make_study(session)
        for number, value in enumerate((0.5, 0.7, None, 0.6)):
            make_trial(session, study, number, value)
        results = RESULTS | {"dropped": {}}
        run = make_run(session, model_id=model.id, metrics={"f1_macro": 0.8}, results=results)
        save_epochs(session, run.id, [make_report(epoch, fold) for fold in (1, 2) for epoch in (1, 2, 3)])
        make_job(session)
    return clean_database


@pytest.fixture(scope="session")
def site(open_settings: Settings) -> Iterator[str]:
    """The address of the gateway."""
    with running(create_app(open_settings)) as url:
        yield url


@pytest.fixture
def rest(site: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{site}/api/v1", timeout=20, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core."""
    script = get_settings().data_dir / "browser" / "axe.min.js"
    if not script.is_file():
        pytest.skip("axe-core is not installed: `make axe` fetches it")
    return script.read_text()
