"""Searches that are saved under a name, and the map, with the `mfa` command."""

import json
from pathlib import Path

import pytest
import typer

from api.client import maps, tracks
from core.store.session import SessionFactory
from tests.integration.api.command import Run, runner
from tests.support.builders import make_analysed_track, make_job, make_library, make_model


@pytest.fixture
def mfa(open_url: str, db: SessionFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Two rock tracks, of which one is jazz too."""
    with db.begin() as session:
        model, library = make_model(session), make_library(session, name="home", path=str(tmp_path))
        make_analysed_track(session, library, model, "both.mp3", [0.5, 0.9, 0.0])
        make_analysed_track(session, library, model, "rock.mp3", [0.8, 0.0, 0.0])
    return runner(open_url, tmp_path, monkeypatch)


def paths(listing: str) -> list[str]:
    return [line.split("\t")[1] for line in listing.splitlines()[1:]]


def test_a_search_is_saved_asked_again_listed_and_removed(mfa, http, tmp_path):
    hint = mfa("queries").stderr
    assert "`mfa tracks sad:0.4.. --save-as NAME` saves one" in hint
    search = ("tracks", "rock:0.2..", "--not", "jazz", "--library", "home")
    saved = mfa(*search, "--save-as", "only rock")
    assert paths(saved.stdout) == ["rock.mp3"]
    assert "`mfa tracks --query 'only rock'` runs it again" in saved.stderr
    again = mfa("tracks", "--query", "only rock")
    assert again.stdout == saved.stdout
    assert http.get("/api/v1/queries/only rock").json()["query"] == (
        "genre=rock%3A0.2..&not_genre=jazz&library=home"
    )
    assert mfa("queries").stdout.startswith("name\tquery\tsaved\nonly rock\tgenre=rock")
    assert mfa("tracks", "--query", "only rock", "--m3u", tmp_path / "a.m3u8").exit_code == 0
    assert "rock.mp3" in (tmp_path / "a.m3u8").read_text()
    kept = mfa("queries", "remove", "only rock")
    assert kept.exit_code == 1
    assert mfa("queries", "remove", "only rock", "--yes", "--json").stdout == "null\n"
    assert mfa("queries", "--json").stdout == json.dumps({"items": [], "next_cursor": None}, indent=2) + "\n"
    gone = mfa("tracks", "--query", "only rock")
    assert gone.exit_code == 1
    assert "There is no saved query 'only rock'; `mfa queries` lists them." in gone.stderr


def test_a_search_is_saved_also_if_its_reader_has_seen_enough_unless_it_is_refused(mfa, http, monkeypatch):
    def close(*_arguments, **_options):
        raise typer.Exit

    monkeypatch.setattr(tracks, "show_list", close)
    assert mfa("tracks", "rock", "--save-as", "mine").exit_code == 0
    assert http.get("/api/v1/queries/mine").json()["query"] == "genre=rock"
    assert mfa("tracks", "rokc", "--save-as", "wrong").exit_code == 1
    assert http.get("/api/v1/queries/wrong").status_code == 404


def test_hints_on_a_saved_search_name_its_model(mfa, db):
    with db.begin() as session:
        make_model(session, name="other", alias=None)
    for arguments in (("rock", "--not", "jazz", "--model", "other@1"), ("rock", "--model", "other@1")):
        assert mfa("tracks", *arguments, "--save-as", "mine").exit_code == 0
        said = mfa("tracks", "--query", "mine").stderr
        assert "labelled by other@1 yet: `mfa label FOLDER --model other@1`" in said
        assert said == mfa("tracks", *arguments).stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rock", "--query", "x"), "LABELS does not go with --query"),
        (("--query", "x", "--save-as", "y"), "--save-as does not go with --query"),
        (("rock", "--save-as", "a/b"), "a name is made of visible characters without `/`"),
    ],
)
def test_what_does_not_go_together_is_refused(mfa, arguments, said):
    result = mfa("tracks", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_map_is_drawn_and_told_where_to_look_at_it(mfa, db, monkeypatch):
    found = {
        "map_id": "7f0a4f86-52f1-4be1-9a3e-4f0c6a3f9b10", "model": "test-model@1", "library": "home",
        "points": 2, "tracks": 3, "not_analysed": 1, "no_embedding": 0, "landmarks": 2,
        "trustworthiness": None,
    }  # fmt: skip
    asked = {"model": "default", "library": "home", "seed": 0}

    def follow(client, job):
        assert (job.kind, job.params | {"model": "default"}) == ("map", asked)
        with db.begin() as session:
            made = make_job(session, kind="map", params=job.params, state="succeeded", result=found)
        return client.get_job(made.id)

    monkeypatch.setattr(maps, "follow", follow)
    said = mfa("map", "--library", "home").stdout
    assert "2 points, by the embeddings of test-model@1." in said
    assert "Of 3 tracks, 1 have no point: 1 not analysed yet" in said
    assert "/map?library=home" in said.splitlines()[-1]
    assert "2 points, by the embeddings" in mfa("jobs", "last").stdout
