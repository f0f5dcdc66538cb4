"""`mfa models preview` and `mfa models compare`, against a real gateway."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from api.client import display
from core.states import Verdict
from core.store.correction_changes import NewCorrection, write_corrections
from core.store.session import SessionFactory
from core.store.tables import JobUnit
from tests.integration.api.command import Run, runner
from tests.support.builders import make_analysed_track, make_library, make_model, make_prediction
from tests.support.worker import run, until


@pytest.fixture
def mfa(open_url: str, db: SessionFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command on a terminal of 80 columns; two models have labelled two tracks."""
    with db.begin() as session:
        serving = make_model(session)
        new = make_model(session, alias=None, name="my-own-genres", sha256="n", metrics={"f1_macro": 0.9})
        library = make_library(session, name="home")
        for number, scores in enumerate(([0.0, 0.2, 0.9], [0.6, 0.2, 0.05])):
            path = f"{'a very long folder name/' * 3}{number}.mp3"
            track = make_analysed_track(session, library, serving, path, [0.6, 0.2, 0.05])
            assert track.content_hash is not None
            make_prediction(session, new, track.content_hash, scores=scores)
            said = [NewCorrection(track.content_hash, "rock", Verdict.YES)]  # of the last one
        write_corrections(session, said, author="me", origin="track")
    run_in = runner(open_url, tmp_path, monkeypatch)
    monkeypatch.setattr(display.console, "_force_terminal", True)
    monkeypatch.setattr(display.console, "width", 80)
    monkeypatch.setattr("api.client.progress.LOOK_EVERY_S", 0.01)
    return run_in


@contextmanager
def worker(db: SessionFactory) -> Iterator[None]:
    """Does the one unit that turns up."""

    def ready() -> int | None:
        with db() as session:
            return session.scalars(select(JobUnit.id).where(JobUnit.state == "ready")).one_or_none()

    def work() -> None:
        until(lambda: ready() is not None)
        run(db, ready() or 0)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    thread.join()


def assert_fits(output: str) -> None:
    tables = [line for line in output.splitlines() if line[:1] in "┏┃┡│├└"]
    assert tables
    assert max(map(len, tables)) <= 80


def test_a_preview_is_shown_within_80_columns(mfa, db):
    with worker(db):
        result = mfa("models", "preview", "my-own-genres", "--library", "home")
    assert result.exit_code == 0, result.output
    assert_fits(result.stdout)
    shown = " ".join(result.stdout.split())
    assert "my-own-genres@1 in place of test-model@1 in home" in shown
    assert "2 of 2 tracks compared, 1 unchanged; they agree on 50.0% of them" in shown
    assert "Against corrections of 1 track, mean over 1 label" in shown
    assert "Nothing was changed." in shown
    assert "preview │ my-own" in mfa("jobs").stdout


def test_a_preview_in_json_is_the_whole_answer_and_nothing_else(mfa, db):
    with worker(db):
        result = mfa("models", "preview", "my-own-genres@1", "--against", "test-model", "--json")
    found = json.loads(result.stdout)
    assert (found["compared"], found["unchanged"]) == (2, 1)


def test_through_a_pipe_numbers_have_columns_of_their_own_and_all_is_ascii(mfa, db, monkeypatch):
    monkeypatch.setattr(display.console, "_force_terminal", False)
    with worker(db):
        preview = mfa("models", "preview", "my-own-genres").stdout
    assert "\tambient\t0.05\t0.9\tgained\n" in preview
    assert "\nrock\t0\t1\t1\t0.5\n" in preview
    compared = mfa("models", "compare", "my-own-genres", "test-model").stdout
    assert "1\tmy-own-genres@1\t\t" in compared
    assert "F1, mean over labels\t1\t0.9\t\t\nF1, mean over labels\t2\t\t\t\n" in compared
    assert (preview + compared).isascii()


def test_what_cannot_be_previewed_is_said_in_one_line(mfa):
    result = mfa("models", "preview", "test-model")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "test-model@1 would be compared with itself: name another model as --against."
    ]


def test_models_are_compared_within_80_columns_or_in_json(mfa):
    result = mfa("models", "compare", "my-own-genres", "test-model")
    assert result.exit_code == 0, result.output
    assert_fits(result.stdout)
    assert "Not comparable: It is not known what test-model@1 was measured on" in result.stdout
    found = json.loads(mfa("models", "compare", "my-own-genres", "test-model", "--json").stdout)
    assert found["comparable"] is False
    alone = mfa("models", "compare", "test-model")
    assert (alone.exit_code, alone.stderr) == (2, "Name two models or more: `mfa models compare A B`.\n")
