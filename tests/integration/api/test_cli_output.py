"""What the `mfa` command prints on a terminal of 80 columns, through a pipe, in a C locale, as JSON."""

import csv
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from api.client import display
from core import VERSION
from core.states import JobState
from core.store.session import SessionFactory
from core.store.tables import Job, Track
from tests.integration.api.command import runner
from tests.support.builders import (
    make_analysed_track,
    make_finished_job,
    make_job,
    make_library,
    make_model,
    make_run,
    make_track,
)

DEEP = "Some Artist With a Long Name/Some Album (Remastered 2011) [Deluxe Edition]/07 - Café.flac"
STYLES = re.compile(r"\x1b\[[\d;]*m")
COLOURS = re.compile(r"\x1b\[(?:\d+;)*3\d")


@pytest.fixture
def track(db: SessionFactory, tmp_path: Path) -> Track:
    """Of a library `home`, with a job that labelled it, and a second track that failed."""
    with db.begin() as session:
        model, library = make_model(session), make_library(session, name="home", path=str(tmp_path))
        tags = {"title": "Song", "artist": "Someone"}
        track = make_analysed_track(session, library, model, DEEP, [0.9, 0.7, 0.0], tags=tags)
        bad = make_track(session, library, path="=bad.mp3")
        make_finished_job(session, library, model, [track], [bad])
        make_run(session, metrics={"roc_auc_macro": 0.9})
        return track


@pytest.mark.parametrize(
    "command", ["jobs", "tracks", "runs", "models", "libraries", "keys list", "changes", "runs last"]
)
def test_a_table_fits_80_columns_and_breaks_no_id(terminal, db, track, command):
    result = terminal(*command.split())
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    if command in ("jobs", "runs"):
        with db() as session:
            jobs = [
                job for job in session.scalars(select(Job)) if command == "jobs" or job.kind == "training"
            ]
            ids = [str(job.id)[:8] for job in jobs]
        assert all(any(each in line for line in lines) for each in ids)
    if command == "models":
        assert any("test-model@1" in line for line in lines)


def test_the_model_of_a_run_is_whole_at_80_columns(terminal, db):
    with db.begin() as session:
        model = make_model(session, alias=None, name="my-home-music-head", version=12)
        make_run(session, "my-home-music-head", model_id=model.id, metrics={"pr_auc_macro": 0.5})
    result = terminal("runs")
    assert "my-home-music-head@12" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


@pytest.mark.usefixtures("track")
def test_through_a_pipe_a_list_is_tab_separated_values(mfa, track):
    result = mfa("tracks", "rock")
    assert result.stdout == f"id\ttrack\tlibrary\tlabels\n{track.id}\t{DEEP}\thome\trock 0.90, jazz 0.70\n"
    assert result.stderr == ""
    header, job = mfa("jobs").stdout.splitlines()[:2]
    assert header == "id\tkind\tof\tstate\tdone\tskipped\tfailed\ttotal\tsubmitted"
    assert all(count.isdecimal() for count in job.split("\t")[4:8])
    assert mfa("models").stdout.splitlines()[1].startswith("test-model@1\tdefault\t")


def test_control_characters_of_a_file_name_are_escaped(mfa, terminal, db, tmp_path):
    with db.begin() as session:
        make_model(session)
        make_track(session, make_library(session, path=str(tmp_path)), path="a\x1b[2J\tb.mp3")
    assert "\x1b[2J" not in terminal("tracks").stdout
    assert "a\\x1b[2J\\tb.mp3" in terminal("tracks").stdout


@pytest.mark.parametrize(
    ("command", "path"),
    [
        (["jobs"], "/jobs?limit=20"),
        (["jobs", "last"], "/jobs/{job}"),
        (["tracks", "jazz"], "/tracks?genre=jazz"),
        (["track", DEEP], "/tracks/{track}"),
        (["similar", DEEP], "/tracks/{track}/similar"),
        (["duplicates"], "/duplicates"),
        (["models"], "/models"),
        (["libraries"], "/libraries"),
        (["runs"], "/runs"),
        (["runs", "last"], "/runs/{run}"),
        (["studies"], "/studies"),
        (["keys", "list"], "/keys"),
        (["changes"], "/corrections"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_json_is_the_answer_of_rest(mfa, http, track, command, path):
    api = "/api/v1"
    job = http.get(f"{api}/jobs?limit=1").json()["items"][0]["id"]
    run = http.get(f"{api}/runs").json()["items"][0]["id"]
    result = mfa(*command, "--json")
    assert result.exit_code == 0, result.output
    answer = http.get(api + path.format(job=job, run=run, track=track.id)).json()
    assert json.loads(result.stdout) == answer


def test_verbs_answer_in_json_too(mfa, http, db, track, tmp_path):
    with db.begin() as session:
        make_model(session, alias=None, name="mine")
        job_id = make_job(session).id
    api = "/api/v1"

    def answer(*command: object) -> Any:
        result = mfa(*command, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    assert answer("models", "promote", "mine") == http.get(f"{api}/models").json()["items"][0]
    assert answer("models", "rollback")["name"] == "test-model"
    assert answer("models", "remove", "mine@1", "--yes") is None
    assert answer("libraries", "rename", "home", "away")["name"] == "away"
    assert answer("libraries", "move", "away", tmp_path)["path"] == str(tmp_path)
    assert answer("jobs", job_id, "--cancel")["id"] == str(job_id)
    assert answer("libraries", "remove", "away", "--yes") is None


@pytest.mark.usefixtures("db")
def test_through_a_pipe_all_jobs_are_listed_and_on_a_terminal_the_first(mfa, db, terminal, monkeypatch):
    with db.begin() as session:
        for _ in range(5):
            make_job(session)
    monkeypatch.setattr("api.client.lists.PAGE", 2)
    shown = terminal("jobs", "--limit", 3)
    assert "These are the first 3; `--limit NUMBER` shows more." in shown.stdout
    limited = json.loads(terminal("jobs", "--limit", 3, "--json").stdout)
    assert (len(limited["items"]), bool(limited["next_cursor"])) == (3, True)
    monkeypatch.setattr(display.console, "_force_terminal", False)
    listed = mfa("jobs").stdout.splitlines()
    assert len({line.split("\t")[0] for line in listed}) == 1 + 5


@pytest.mark.usefixtures("track")
@pytest.mark.parametrize("name", ["", "test-model", "test-model@1", "default"])
def test_a_model_is_shown_with_its_labels_and_thresholds(mfa, http, name):
    assert "rock\t" in mfa("models", "show", *name.split()).stdout
    answer = json.loads(mfa("models", "show", *name.split(), "--json").stdout)
    assert answer == http.get("/api/v1/models").json()["items"][0]


def test_counts_and_durations_are_no_measures_of_a_model(mfa, db):
    with db.begin() as session:
        numbers = {"duration_s": 12.949, "macro_pr_auc": 0.4, "measured_labels": 2.0, "tracks": 28.0}
        make_model(session, metrics=numbers)
    shown = mfa("models", "show").stdout
    assert "Metrics\nmeasure\tvalue\nPR-AUC, mean over labels\t0.4\nMeasured on 28 tracks; means are" in shown
    assert "12.949" not in shown


@pytest.mark.usefixtures("track")
@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("tracks jaz", "has no label 'jaz'; did you mean 'jazz'?"),
        ("tracks --not ambent", "has no label 'ambent'; did you mean 'ambient'?"),
        ("tracks zydeco", "`mfa models show test-model` lists its labels."),
        ("tracks --library hom", "There is no library 'hom'; did you mean 'home'?"),
        ("tracks --library nowhere", "`mfa libraries` lists them."),
        ("models promote test-modle", "There is no model 'test-modle'; did you mean 'test-model'?"),
        ("models promote test-model@7", "There is no model 'test-model@7'; versions of it: 1."),
        ("models show test-modle", "did you mean 'test-model'?"),
        ("track last", "of tracks, none is the last one"),
        ("track abc", "four characters or more"),
        ("track 07.flac", "`mfa tracks --path PART` looks for"),
        ("track nowhere/=bda.mp3", "`mfa tracks --path PART` looks for"),
        ("track nowhere/=bad.mp", "did you mean '=bad.mp3'?"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(mfa, command, said):
    result = mfa(*command.split())
    assert result.exit_code == 1
    assert said in result.stderr


def test_tracks_are_found_by_words_of_their_tags_and_show_the_label_that_was_asked_for(mfa, track):
    for found in (("--text", "song someone"), ("--path", "Remastered 2011")):
        assert str(track.id) in mfa("tracks", *found).stdout
    assert mfa("tracks", "--path", "song someone").stdout == ""
    assert "\tjazz 0.70, rock 0.90\n" in mfa("tracks", "jazz").stdout
    assert "\tambient 0.00 (not given), rock 0.90, jazz 0.70\n" in mfa("tracks", "ambient:0..").stdout


def test_an_id_may_be_cut_short_or_be_the_last(mfa, db, track):
    with db.begin() as session:
        job_id = str(make_job(session, state=JobState.QUEUED).id)
    assert job_id in mfa("jobs", "last").stdout
    assert job_id in mfa("jobs", job_id[:6].upper()).stdout
    assert str(track.id) in mfa("track", str(track.id)[:8]).stdout
    assert "ROC-AUC, mean over labels\t0.9" in mfa("runs", "last").stdout


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("jobs", "mfa label FOLDER"),
        ("tracks", "mfa label FOLDER"),
        ("libraries", "mfa label FOLDER"),
        ("models", "make model"),
        ("runs", "mfa train"),
        ("studies", "mfa tune"),
        ("keys list", "mfa keys create"),
        ("changes", "mfa correct TRACK"),
    ],
)
def test_an_empty_list_says_what_to_do_next(mfa, db, command, hint):
    if command == "tracks":
        with db.begin() as session:
            make_model(session)
    result = mfa(*command.split())
    assert (result.exit_code, result.stdout) == (0, "")
    assert hint in result.stderr


def test_tracks_become_a_playlist_and_csv(mfa, track, tmp_path):
    result = mfa("tracks", "rock", "jazz", "--not", "ambient", "--m3u", "x.m3u8", "--csv", "x.csv")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "x.m3u8").read_text() == f"#EXTM3U\n#EXTINF:180,Someone - Song\n{tmp_path / DEEP}\n"
    (row,) = csv.DictReader((tmp_path / "x.csv").read_text().splitlines())
    assert (row["path"], row["labels"]) == (DEEP, "rock=0.9; jazz=0.7")
    assert "'=bad.mp3" in mfa("tracks", "--csv", "all.csv").stdout + (tmp_path / "all.csv").read_text()
    assert "No track is like that" in mfa("tracks", "ambient").stderr


def test_a_job_is_exported(mfa, track, tmp_path):
    jobs = json.loads(mfa("jobs", "--json").stdout)["items"]
    analysis = next(job for job in jobs if job["kind"] == "analysis")
    result = mfa("jobs", analysis["id"][:8], "--csv", "labels.csv", "--errors", "errors.csv")
    assert result.exit_code == 0, result.output
    assert DEEP in (tmp_path / "labels.csv").read_text()
    (row,) = csv.DictReader((tmp_path / "errors.csv").read_text().splitlines())
    assert (row["path"], row["code"]) == ("'=bad.mp3", "not_audio")


@pytest.mark.parametrize(
    "arguments",
    [
        ["label", ".", "--csv", "no/such/folder.csv"],
        ["jobs", "last", "--errors", "."],
        ["tracks", "--m3u", "/proc/x.m3u"],
        ["runs", "last", "--save", "/proc/x"],
        ["studies", "last", "--save", "/proc/x"],
    ],
)
def test_a_path_that_cannot_be_written_is_refused_before_the_work(tmp_path, monkeypatch, arguments):
    monkeypatch.setattr("api.client.connection.get_settings", lambda: pytest.fail("the work began"))
    monkeypatch.chdir(tmp_path)
    result = runner("http://127.0.0.1:1", tmp_path, pytest.MonkeyPatch())(*arguments)
    assert result.exit_code == 2
    assert "Invalid value for '--" in result.stderr


def test_a_wrong_key_is_told_also_where_none_is_needed(open_url, db, tmp_path, monkeypatch):
    result = runner(open_url, tmp_path, monkeypatch, api_key="mfa_12345678_wrong")("jobs")
    assert result.exit_code == 1
    assert "The API key is not valid. This server asks for none" in result.stderr
    assert "MFA_API_KEY" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_server_of_another_version_is_told_in_one_sentence(mfa, track, monkeypatch):
    monkeypatch.setattr("api.client.http.VERSION", "9.9.9")
    result = mfa("track", DEEP)  # several requests
    assert result.exit_code == 0, result.output
    (told,) = result.stderr.splitlines()
    assert f"is version {VERSION}, this `mfa` is version 9.9.9" in told


def test_an_answer_that_is_not_understood_names_both_versions(mfa, monkeypatch):
    answer = httpx.Response(200, json={"items": [{}]}, headers={"Server-Version": "0.0.1"})
    monkeypatch.setattr(httpx.Client, "request", lambda *_, **__: _sent(answer))
    result = mfa("jobs")
    assert result.exit_code == 1
    assert "is version 0.0.1, this `mfa` is version" in result.stderr.splitlines()[-1]


def _sent(answer: httpx.Response) -> httpx.Response:
    answer.request = httpx.Request("GET", "http://127.0.0.1/api/v1/jobs")
    return answer


def test_versions_of_the_command_and_of_the_server(mfa, open_url):
    assert mfa("--version").stdout == f"mfa {VERSION}\nserver {VERSION} at {open_url}\n"


@pytest.mark.parametrize("group", ["", "models", "jobs", "tracks"])
def test_h_is_help(mfa, group):
    result = mfa(*group.split(), "-h")
    assert result.exit_code == 0
    assert "Usage: " in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_a_terminal_in_a_c_locale_without_colours_gets_ascii(open_url, track, tmp_path):
    """In a process of its own, on a pseudo-terminal: what Python makes of the locale counts."""
    address = httpx.URL(open_url)
    environment: dict[str, Any] = {
        "PATH": os.environ["PATH"],
        "LC_ALL": "C",
        "TERM": "xterm",
        "COLUMNS": "80",
        "MFA_HOST": address.host,
        "MFA_PORT": str(address.port),
        "NO_COLOR": "1",
        "PYTHONPATH": os.getcwd(),
    }
    shown, inside = pty.openpty()
    command = (sys.executable, "-m", "api.client.cli", "tracks")
    done = subprocess.run(command, stdout=inside, env=environment, cwd=tmp_path, check=True)
    os.close(inside)
    output = os.read(shown, 65536).decode("ascii")
    os.close(shown)
    assert done.returncode == 0
    assert "\\xe9.flac" in output
    assert str(track.id)[:8] in output
    assert not COLOURS.search(output)
    assert max(map(len, STYLES.sub("", output).splitlines())) <= 80
