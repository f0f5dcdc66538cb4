"""The commands around corrections, against a real gateway."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import func, select
from typer.testing import CliRunner

from api.client.cli import app
from api.client.review import forecast
from api.schemas import ReviewForecast
from core.store.session import SessionFactory
from core.store.tables import Job, Library, Model, Review
from tests.integration.api.command import Run, runner
from tests.support.builders import make_analysed_track, make_library, make_model


@pytest.fixture
def mfa(open_url: str, db: SessionFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Two labelled tracks of a library `Home Music`."""
    with db.begin() as session:
        model = make_model(session, thresholds=[0.5] * 3, artifact_url="file:///models/musicnn-msd-1")
        library = make_library(session, name="Home Music", path=str(tmp_path))
        make_analysed_track(session, library, model, "a.mp3", [0.9, 0.1, 0.0], tags={"genre": ["Jazz"]})
        make_analysed_track(session, library, model, "b.mp3", [0.55, 0.1, 0.0], tags={"genre": ["Polka"]})
    return runner(open_url, tmp_path, monkeypatch)


def test_a_track_is_corrected_and_that_taken_back(mfa):
    result = mfa("correct", "a.mp3", "+jazz", "-rock", "?ambient", "--note", "by ear")
    assert result.exit_code == 0, result.output
    assert "jazz (corrected); not rock" in result.stdout
    assert "3 labels changed." in result.stdout
    change = result.stdout.split("--undo ")[1].split("`")[0]
    assert "3 labels changed" in mfa("correct", "--undo", change).stdout
    assert "rock 0.90" in mfa("track", "a.mp3").stdout
    wrong = mfa("correct", "a.mp3", "+jaz")
    assert wrong.exit_code == 1
    assert "did you mean 'jazz'?" in wrong.stderr


def test_changes_are_listed_and_taken_back_step_by_step(mfa):
    mfa("correct", "a.mp3", "+jazz")
    mfa("correct", "a.mp3", "-rock", "--note", "by ear")
    rows = [line.split("\t") for line in mfa("changes").stdout.splitlines()]
    assert [row[1:8] for row in rows] == [
        ["by", "from", "track", "library", "labels", "standing", "note"],
        ["local", "track", "a.mp3", "Home Music", "1", "1", "by ear"],
        ["local", "track", "a.mp3", "Home Music", "1", "1", ""],
    ]
    newest = rows[1][0]
    assert f"rock\tno\t{newest}\tlocal\t" in mfa("track", "a.mp3").stdout
    assert json.loads(mfa("changes", "--limit", 1, "--json").stdout)["items"][0]["id"] == newest
    assert "1 label changed" in mfa("correct", "--undo", newest[:8]).stdout
    assert "jazz (corrected)" in mfa("track", "a.mp3").stdout
    assert "1 label changed" in mfa("correct", "--undo", "last").stdout
    assert "corrected" not in mfa("track", "a.mp3").stdout
    nothing = mfa("correct", "--undo", "last")
    assert (nothing.exit_code, nothing.stderr) == (1, "There is no change that could be taken back.\n")


def test_a_file_and_tags_are_imported_with_what_is_left_out(mfa, tmp_path):
    (tmp_path / "labels.csv").write_text("path,labels\na.mp3,+jazz; -rock\nnope.mp3,rock\n")
    arguments = ("correct", "--csv", "labels.csv", "--library", "Home Music")
    dry = mfa(*arguments, "--dry-run")
    assert "2 labels would be changed" in dry.stdout
    result = mfa(*arguments)
    assert "line 3, nope.mp3: The library has no such track" in result.stdout
    assert "Left out: 1 (track_not_found)." in result.stdout
    assert "2 labels changed." in result.stdout
    tags = mfa("correct", "--from-tags", "--library", "Home Music")
    assert "Left out: 1 (unknown_label)." in tags.stdout
    assert "0 labels changed, 1 stayed as before." in tags.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Name one of"),
        (("a.mp3",), "Name the labels"),
        (("a.mp3", "+jazz", "-jazz"), "The label 'jazz' is named twice"),
        (("a.mp3", "+jazz", "--library", "x"), "--library does not go with TRACK"),
        (("--from-tags",), "Name the --library"),
    ],
)
def test_wrong_corrections_are_explained(mfa, arguments, said):
    result = mfa("correct", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_review_asks_until_nothing_is_left(mfa):
    result = CliRunner().invoke(app, ["review", "--label", "rock"], input="perhaps\nn\n\n")
    assert result.exit_code == 0, result.output
    assert result.stdout.index("b.mp3 in Home Music") < result.stdout.index("a.mp3 in Home Music")
    assert "Nothing is left to ask about now. 1 track answered." in result.stdout
    assert "not rock" in mfa("correct", "b.mp3", "-rock").stdout


def test_a_review_gives_back_what_was_not_answered_and_says_how_many_more_are_needed(mfa, db):
    result = CliRunner().invoke(app, ["review", "--label", "rock"], input="\nq\n")
    assert result.exit_code == 0, result.output
    assert "How many more tracks the model needs cannot be told: musicnn" not in result.stdout
    assert "cannot be told: test-model@1 has no learning curve" in result.stdout
    with db() as session:
        is_leased = Review.leased_until > func.clock_timestamp()
        assert session.scalar(select(func.count()).where(is_leased)) == 0
    stopped = CliRunner().invoke(app, ["review"], input="")  # as by Ctrl-C
    assert stopped.exit_code != 0
    with db() as session:
        assert session.scalar(select(func.count()).where(is_leased)) == 0


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ((31, 12, 80), "About 31 more tracks (12 to 80) to 95 % of what the model can reach."),
        ((31, 12, None), "About 31 more tracks (12 or more) to 95 % of what the model can reach."),
        ((0, 0, 9), "The model has learnt enough for 95 % of what it can reach (0 to 9 more tracks)."),
        ((0, 0, 0), "The model has learnt enough for 95 % of what it can reach."),
    ],
)
def test_the_forecast_is_a_sentence(found, said):
    more, low, high = found
    told = ReviewForecast(more=more, low=low, high=high, plateau=0.9, reason=None)
    assert forecast(told) == said
    told.unmeasured = ["harp", "theremin"]
    assert forecast(told) == f"{said} Labels that cannot be measured are not counted: harp, theremin."


def test_a_review_of_all_labels_goes_on_after_a_mistake(mfa):
    result = CliRunner().invoke(app, ["review"], input="+jaz\n+jazz -jazz\n+jazz -rock\nq\n")
    assert result.exit_code == 0, result.output
    assert "did you mean 'jazz'?" in result.stderr
    assert "The label 'jazz' is named twice" in result.stderr
    assert "1 track answered, 1 undecided." in result.stdout


def test_a_review_does_not_ask_about_one_album_all_the_time(mfa, db):
    with db.begin() as session:
        model, library = session.scalars(select(Model)).one(), session.scalars(select(Library)).one()
        for path, rock in (("x/1", 0.501), ("x/2", 0.502), ("x/3", 0.503)):
            make_analysed_track(session, library, model, path, [rock, 0.0, 0.0], tags={"album": "x"})
    result = CliRunner().invoke(app, ["review"], input="\n" * 5)
    assert result.exit_code == 0, result.output
    asked = [line.split(" in ")[0] for line in result.stdout.splitlines() if line.endswith("in Home Music")]
    assert asked == ["x/1", "b.mp3", "x/2", "a.mp3", "x/3"]


@pytest.mark.parametrize("labels", ["genre_tags", "corrections", "folder"])
def test_a_library_is_trained_on_without_a_file(mfa, db, monkeypatch, labels):
    monkeypatch.setattr("api.client.train.follow_training", lambda *_, **__: None)
    mfa("correct", "a.mp3", "+jazz")
    result = mfa("train", "Home Music", "--labels", labels, "--epochs", 3)
    assert result.exit_code == 0, result.output
    shown: dict[str, Any] = yaml.safe_load(result.stdout)
    assert shown["experiment_name"] == "home-music"
    assert shown["dataset"].get("labels_from", shown["dataset"]["kind"]) == labels
    with db() as session:
        (job,) = session.scalars(select(Job))
    assert job.params["experiment"]["dataset"]["library"] == "Home Music"
    assert job.params["experiment"]["training"]["epochs"] == 3
