"""What `mfa` says where a person would otherwise not know what to do next."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from api.client import retraining
from core.config.params import JobKind
from core.store.tables import Library
from tests.integration.api.gateway import problem_of
from tests.integration.api.stand_in import worker
from tests.support.builders import (
    make_analysed_track,
    make_job,
    make_library,
    make_model,
    make_study,
    make_track,
    make_trial,
)


def fill(folder: Path, names: tuple[str, ...]) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x" * 10)
    return folder


def test_a_folder_that_has_moved_does_not_become_a_second_library(mfa, db, tmp_path):
    files = ("a.mp3", "b.mp3", "c.mp3")
    here = fill(tmp_path / "new", files[:2])
    with db.begin() as session:
        make_model(session)
        library = make_library(session, name="my music", path=str(tmp_path / "old"))
        for name in files:
            make_track(session, library, path=name, size=10)
    refused = mfa("label", here)
    assert refused.exit_code == 2
    assert "is not there, or cannot be seen from here, and 2 of 3 of its tracks are here" in refused.stderr
    assert f"`mfa libraries move 'my music' {here}`" in refused.stderr
    with db() as session:
        assert session.scalars(select(Library.name)).all() == ["my music"]
    assert mfa("libraries", "move", "my music", here).exit_code == 0


def test_other_music_is_labelled_also_while_the_folder_of_a_library_is_gone(mfa, db, tmp_path):
    here = fill(tmp_path / "new", ("a.mp3", "other.mp3"))
    with db.begin() as session:
        make_model(session)
        library = make_library(session, name="gone", path=str(tmp_path / "old"))
        for name, size in (("a.mp3", 99), ("b.mp3", 10)):  # the first is another file of the same name
            make_track(session, library, path=name, size=size)
    with worker(db):
        assert mfa("label", here).exit_code == 0


def test_music_is_labelled_also_where_the_folder_of_another_library_cannot_be_looked_at(mfa, db, tmp_path):
    here = fill(tmp_path / "new", ("a.mp3",))
    with db.begin() as session:
        make_model(session)
        make_library(session, name="other", path=f"/{'x' * 300}")  # stat: File name too long
    with worker(db):
        assert mfa("label", here).exit_code == 0


def test_a_library_does_not_move_to_a_folder_without_its_files_unless_forced(mfa, http, db, tmp_path):
    empty = fill(tmp_path / "empty", ())
    with db.begin() as session:
        library = make_library(session, name="home", path=str(tmp_path))
        for number in range(3):
            make_track(session, library, path=f"{number}.mp3")
    refused = mfa("libraries", "move", "home", empty)
    assert refused.exit_code == 1
    assert "Only 0 of 3 tracks of the library 'home' that were looked for are in" in refused.stderr
    assert "--force moves the library there nevertheless" in refused.stderr
    answer = http.patch("/api/v1/libraries/home", json={"path": str(empty)})
    assert problem_of(answer, 409) == "library_elsewhere"
    assert http.get("/api/v1/libraries/home").json()["path"] == str(tmp_path)
    assert f"the folder {empty} now" in mfa("libraries", "move", "home", empty, "--force").stdout


@pytest.mark.parametrize(("score", "least"), [(0.0234, "0.02"), (0.0031, "0.003"), (0.0999, "0.09")])
def test_a_label_that_no_track_reaches_is_told_with_the_highest_score(mfa, db, tmp_path, score, least):
    with db.begin() as session:
        model, library = make_model(session), make_library(session, name="home", path=str(tmp_path))
        make_analysed_track(session, library, model, "a.mp3", [score, 0.9, 0.0])
        make_analysed_track(session, library, model, "b.mp3", [score / 2, 0.9, 0.0])
    said = mfa("tracks", "rock").stderr
    assert "No track is given rock." in said
    assert f"is {score:.3g}: `mfa tracks rock:{least}..` finds it." in said
    assert mfa("tracks", f"rock:{least}..").stdout.count("a.mp3") == 1


def test_the_highest_score_is_of_tracks_that_nobody_refused_and_of_a_search_for_nothing_but_a_label(
    mfa, db, tmp_path
):
    with db.begin() as session:
        model, library = make_model(session), make_library(session, name="home", path=str(tmp_path))
        for name, score in (("a.mp3", 0.09), ("b.mp3", 0.03)):
            make_analysed_track(session, library, model, name, [score, 0.9, 0.0])
    assert mfa("correct", "a.mp3", "-rock").exit_code == 0
    assert "Where nobody said otherwise, its highest score is 0.03: " in mfa("tracks", "rock").stderr
    assert "a.mp3" not in mfa("tracks", "rock:0.03..").stdout
    for more in (("--min-score", 0.5), ("--library", "home"), ("--model", "test-model@1"), ("--not", "jazz")):
        assert "No track is like that" in mfa("tracks", "rock", *more).stderr


def test_what_was_meant_as_a_range_is_told_how_ranges_are_written(mfa, db):
    with db.begin() as session:
        make_model(session)
    result = mfa("tracks", "rock:high")
    assert result.exit_code == 2
    assert "has no label 'rock:high'" in result.stderr
    assert "`sad:0.4..`, `sad:..0.2` or `sad:0.4..0.8`" in result.stderr
    assert "Ranges" not in mfa("tracks", "rok").stderr


def test_a_resumed_study_breaks_no_line(terminal, db):
    study = UUID(int=7)
    with db.begin() as session:
        make_job(session, kind=JobKind.TUNING, params={"resume": str(study), "n_trials": 5})
    lines = terminal("jobs").stdout.splitlines()
    assert any(str(study)[:8] in line for line in lines)
    assert not any(str(study) in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_a_study_names_its_measures_as_the_pages_do(mfa, db):
    with db.begin() as session:
        study = make_study(session)
        for number, value in enumerate((0.5, 0.7)):
            make_trial(session, study, number, value)
    said = mfa("studies", study.id).stdout
    assert "ROC-AUC, mean over labels" in said
    assert "roc_auc_macro" not in said


def test_the_results_of_a_job_without_tracks_are_refused_in_words_of_the_command(mfa, db, tmp_path):
    with db.begin() as session:
        job = make_job(session, kind=JobKind.PREVIEW, params={"model": "mine@1"})
    refused = mfa("jobs", job.id, "--csv", tmp_path / "a.csv")
    assert refused.exit_code == 1
    assert "`mfa jobs ID` shows what it has found" in refused.stderr
    assert "`result`" not in refused.stderr


def test_a_change_names_its_track(mfa, http, db, tmp_path):
    with db.begin() as session:
        model, library = make_model(session), make_library(session, name="home", path=str(tmp_path))
        for name in ("a.mp3", "b.mp3"):
            make_analysed_track(session, library, model, name)
    assert mfa("correct", "b.mp3", "+rock").exit_code == 0
    body: dict[str, Any] = {"query": {"library": "home"}, "labels": {"jazz": "yes"}}
    http.post("/api/v1/corrections", json=body).raise_for_status()
    header, of_all, of_one = (line.split("\t") for line in mfa("changes").stdout.splitlines())
    place = header.index("track")
    assert header[place + 1] == "library"
    assert (of_all[place : place + 2], of_one[place : place + 2]) == (["", ""], ["b.mp3", "home"])


def test_columns_without_a_value_are_left_out_on_a_terminal_only(terminal, mfa, db):
    with db.begin() as session:
        make_model(session, alias=None)
    shown = terminal("models").stdout
    assert "also called" not in shown
    assert "ROC-AUC" in shown


@pytest.mark.parametrize(("verdict", "is_named"), [("better", True), ("undecided", False), ("worse", False)])
def test_only_an_offer_that_is_better_is_proposed(capsys, verdict, is_named):
    offer = SimpleNamespace(
        verdict=verdict, against="mine@1", reason=None, tracks=3, trained_on=0, not_random=0, not_labelled=0,
        lost_labels=[], new_labels=[], unmeasured_labels=[], f1=None, f1_before=None, difference=None,
        low=None, high=None,
    )  # fmt: skip
    models: Any = [SimpleNamespace(name="mine", version=2, aliases=[], offer=offer)]
    retraining.show_all([], models)
    said = capsys.readouterr()
    assert ("mfa models promote" in said.out + said.err) == is_named


def test_a_reader_that_has_seen_enough_is_no_failure(open_url, db, tmp_path):
    with db.begin() as session:
        make_model(session)
        library = make_library(session, path=str(tmp_path))
        for number in range(2000):
            make_track(session, library, path=f"{number:04}{'x' * 60}.mp3")
    host, _, port = open_url.removeprefix("http://").rpartition(":")
    environment = os.environ | {"MFA_HOST": host, "MFA_PORT": port, "MFA_DATA_DIR": str(tmp_path)}
    command = f'set -o pipefail; "{sys.executable}" -m api.client.cli tracks | head -1'
    done = subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("id\t")
