"""The `mfa` command against a real gateway."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select, update
from typer.testing import CliRunner

from api.client import connection, label, local, progress
from api.client.cli import app
from api.client.http import Client
from core.config.experiment import load_experiment
from core.config.known_library import KnownLibrary
from core.local import PortInUse
from core.local.command import free_port
from core.ml.datasets.examples import Dataset
from core.settings import PROJECT, Settings, get_settings
from core.states import JobState
from core.store.session import SessionFactory
from core.store.tables import ApiKey, Job, Library
from tests.integration.api.command import runner
from tests.integration.api.stand_in import worker
from tests.support.builders import (
    make_analysed_track,
    make_api_key,
    make_finished_job,
    make_job,
    make_library,
    make_model,
    make_run,
    make_track,
)
from workers.datasets import read


@pytest.fixture
def files(music: Path, db: SessionFactory) -> Path:
    """A folder with four tracks, two of them bad, and what is no music; and a model to label them with."""
    for name in ("a.mp3", "jazz/b [live].mp3", "jazz/bad.mp3", "bad.flac", "1.jpg", "jazz/2.jpg", "a.cue"):
        (music / name).write_bytes(b"")
    (music / "@eaDir").mkdir()
    with db.begin() as session:
        make_model(session)
    return music


def test_label_shows_labels_neighbours_and_what_failed(mfa, db, files, tmp_path):
    with worker(db):
        result = mfa("label", files, "--library", "home", "--csv", "out.csv")
    assert result.exit_code == 0, result.output
    lines = {line.split("\t")[0]: line for line in result.stdout.splitlines()}
    assert "rock 0.60, jazz 0.20" in lines["a.mp3"]
    assert "jazz/b [live].mp3 (" in lines["a.mp3"]
    assert "a.mp3 (" in lines["jazz/b [live].mp3"]
    assert "not_audio" in lines["bad.flac"]
    assert "The content is not audio." in lines["jazz/bad.mp3"]
    assert "2 tracks labelled, 2 not labelled" in result.stdout
    assert "Left out: 2 .jpg, 1 .cue, 1 system folder." in result.stdout
    rows = (tmp_path / "out.csv").read_text().splitlines()
    assert rows[0] == "track_id,path,duration_s,labels,model,warnings,corrections,rock,jazz,ambient"
    assert len(rows) == 3
    assert not (tmp_path / "out.csv.part").exists()


def test_label_shows_which_tracks_lack_some_of_their_audio(mfa, db, files):
    (files / "damaged.mp3").write_bytes(b"")
    with worker(db):
        result = mfa("label", files, "--library", "home")
    assert result.exit_code == 0, result.output
    assert "Labelled with warnings: 1" in result.stdout
    assert "0.30 s are missing." in result.stdout


def test_label_counts_files_with_unreadable_tags(mfa, db, files):
    with worker(db):
        assert "unreadable tags" not in mfa("label", files, "--library", "home").stdout
        (files / "damaged tags.mp3").write_bytes(b"")
        result = mfa("label", files, "--library", "home")
    assert result.exit_code == 0, result.output
    assert "Files of the library with unreadable tags: 1" in result.stdout
    assert "APEv2: it is damaged." in result.stdout


def test_label_shows_what_the_job_did_although_the_library_was_renamed_meanwhile(mfa, db, files, monkeypatch):
    follow = progress.follow

    def renamed_meanwhile(*arguments: Any) -> Any:
        job = follow(*arguments)
        with db.begin() as session:
            session.execute(update(Library).values(name="renamed"))
        return job

    monkeypatch.setattr(label, "follow", renamed_meanwhile)
    with worker(db):
        result = mfa("label", files, "--library", "home")
    assert result.exit_code == 0, result.output
    assert "Files with unreadable tags cannot be shown" in " ".join(result.stdout.split())
    assert "2 tracks labelled, 2 not labelled" in result.stdout


def test_label_names_the_library_after_the_folder_and_finds_it_again(mfa, db, files):
    with db.begin() as session:
        make_library(session, name="music")  # another folder has that name already
    with worker(db):
        assert mfa("label", files).exit_code == 0
        assert mfa("label", files / "jazz").exit_code == 0
    with db() as session:
        assert session.scalars(select(Library.name).order_by(Library.name)).all() == ["music", "music-2"]
        jobs = session.scalars(select(Job.params).order_by(Job.created_at)).all()
    assert [(params["library"], params["path"]) for params in jobs] == [("music-2", ""), ("music-2", "jazz")]


def test_label_passes_coverage_and_force_on(mfa, db, files):
    with worker(db):
        assert mfa("label", files, "--coverage", "8", "--force", "--confirm-empty").exit_code == 0
    with db() as session:
        params = session.scalars(select(Job.params)).one()
    given = {"coverage": {"windows": 8}, "force": True, "confirm_empty": True}
    assert {name: params[name] for name in given} == given


def test_label_fails_when_nothing_was_labelled(mfa, db, files):
    (files / "a.mp3").unlink()
    (files / "jazz" / "b [live].mp3").unlink()
    with worker(db):
        result = mfa("label", files)
    assert result.exit_code == 1
    assert "Nothing was labelled" in result.stderr
    assert "not_audio" in result.stdout


def test_interrupting_label_leaves_the_job_at_work_and_says_so(mfa, db, files, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "get_job", interrupt)
    result = mfa("label", files)
    assert result.exit_code == 130
    with db() as session:
        job = session.scalars(select(Job)).one()
    assert job.state == JobState.QUEUED
    told = result.stderr.splitlines()[0]
    assert told.startswith("The job goes on.")
    assert f"mfa jobs {job.id} --cancel" in told


def test_a_field_that_is_refused_is_told_as_wrong_usage(mfa, db):
    with db.begin() as session:
        make_model(session)
    result = mfa("label", ".", "--library", "x" * 201)
    assert result.exit_code == 2
    assert "String should have at most 200 characters" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["label", ".", "--model", "nothing"], "nothing"),
        (["jobs", str(uuid4())], "There is no job with this id."),
        (["jobs", "last"], "There is no job yet."),
        (["jobs", "0b9a"], "There is no job whose id begins with 0b9a."),
        (["similar", "nothing.mp3"], "There is no track nothing.mp3"),
        (["track", "0b9a"], "There is no track whose id begins with 0b9a."),
        (["keys", "revoke", str(uuid4())], "There is no API key with this id."),
    ],
)
def test_an_error_is_one_line_and_no_traceback(mfa, db, arguments, sentence):
    with db.begin() as session:
        make_model(session)
    result = mfa(*arguments)
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["label", "/no/such/folder"], "There is no folder /no/such/folder."),
        (["label", ".", "--coverage", "0"], "--coverage is `full` or a number of windows from 1 to 1000."),
        (["label", ".", "--coverage", "half"], "--coverage is `full` or a number of windows from 1 to 1000."),
        (["jobs", "--cancel"], "Name the job"),
        (["jobs", str(uuid4()), "--cancel", "--retry"], "One thing at a time"),
        (["jobs", "no id"], "four or more characters"),
        (["tracks", "--min-score", "0.5"], "Scores are those of labels"),
    ],
)
def test_a_wrong_call_is_one_line_and_says_what_is_right(mfa, arguments, sentence):
    result = mfa(*arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_without_a_gateway_the_command_says_how_to_start_one(tmp_path, monkeypatch):
    result = runner(f"http://127.0.0.1:{free_port()}", tmp_path, monkeypatch)("models")
    assert result.exit_code == 3
    assert "make serve" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_describe_asks_the_server_where_a_library_is(mfa, db, tmp_path, monkeypatch):
    started: list[tuple[str, ...]] = []

    def start(command: tuple[str, ...], **_: Any) -> subprocess.CompletedProcess[str]:
        started.append(command[3:])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr("api.client.datasets.subprocess.run", start)
    example = PROJECT / "configs" / "datasets" / "library.yaml"
    unknown = mfa("datasets", "describe", "--config", example)
    assert (unknown.exit_code, unknown.stderr) == (1, "The server has no library 'music'; known are: none.\n")
    with db.begin() as session:
        library = make_library(session, name="music", path=str(tmp_path))
        make_model(session)
    assert mfa("datasets", "describe", f"--config={example}").exit_code == 0
    asked = ("describe", f"--config={example}", "--root", str(tmp_path), "--known")
    assert started[0][: len(asked)] == asked
    given = ("describe", "--config", str(example), "--root", "elsewhere")
    assert mfa("datasets", *given).exit_code == 0
    assert started[1][: len(given)] == given
    with db.begin() as session:
        session.get_one(Library, library.id).path = "/nowhere/at/all"
    away = mfa("datasets", "describe", "--config", example)
    assert away.exit_code == 1
    assert "which is no folder here: add --root." in away.stderr


def test_describe_asks_the_server_what_people_said(mfa, http, db, tmp_path, monkeypatch):
    described: list[Dataset] = []

    def start(command: tuple[str, ...], **_: Any) -> subprocess.CompletedProcess[str]:
        option = dict(pairwise(command))
        experiment = load_experiment(Path(option["--config"]))
        known = KnownLibrary.model_validate_json(Path(option["--known"]).read_bytes())
        described.append(read(experiment.dataset, Path(option["--root"]), experiment.labels, known))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr("api.client.datasets.subprocess.run", start)
    with db.begin() as session:
        library, model = make_library(session, name="music", path=str(tmp_path)), make_model(session)
        for path in ("a/1.mp3", "a/2.mp3", "b/3.mp3", "b/4.mp3"):
            make_analysed_track(session, library, model, path, tags={"artist": path[2]})
    labels = [{"label": "calm", "facet": "mood"}, {"label": "wild", "facet": "mood"}]
    moods = {"name": "moods", "labels": labels, "exclusive": True}
    http.post("/api/v1/label-sets", json=moods).raise_for_status()
    for path, given in (("a/1.mp3", "calm"), ("a/2.mp3", "wild"), ("b/3.mp3", "calm")):
        assert mfa("correct", path, f"+{given}").exit_code == 0
    config = tmp_path / "config.yaml"
    wanted = "experiment_name: moods\ndataset: {kind: corrections, library: music, label_set: moods}\n"
    config.write_text(wanted + "model: {kind: transfer}\n")
    told = mfa("datasets", "describe", "--config", config)
    assert told.exit_code == 0, told.stderr
    (found,) = described
    assert {each.id: (each.labels, each.artist) for each in found.examples} == {
        "a/1.mp3": (("calm",), "1"), "a/2.mp3": (("wild",), "2"), "b/3.mp3": (("calm",), "3"),
    }  # fmt: skip


def test_settings_that_are_wrong_are_named(monkeypatch):
    monkeypatch.setenv("MFA_PORT", "0")
    monkeypatch.setattr(connection, "get_settings", get_settings.__wrapped__)
    result = CliRunner().invoke(app, ["models"])
    assert result.exit_code == 2
    assert "MFA_PORT" in result.stderr


def test_jobs_lists_shows_cancels_and_retries(mfa, db):
    with db.begin() as session:
        library, model = make_library(session), make_model(session)
        ended = make_finished_job(session, library, model, [], [make_track(session, library, path="x.mp3")])
        open_job = make_job(session)
    listed = mfa("jobs").stdout
    assert str(ended.id) in listed
    assert "\tdone\tskipped\tfailed\ttotal\t" in listed
    shown = mfa("jobs", ended.id).stdout
    assert "analysis of music: succeeded" in shown
    assert "x.mp3" in shown
    assert "not_audio" in shown
    assert "cancelling" in mfa("jobs", open_job.id, "--cancel").stdout
    assert "submitted as job" in mfa("jobs", ended.id, "--retry").stdout
    with db() as session:
        assert session.get_one(Job, open_job.id).state == JobState.CANCELLING
        assert session.scalars(select(Job).where(Job.retry_of == ended.id)).one()


def test_a_job_shows_what_it_left_out_marked_as_missing_and_warns_of(mfa, db):
    found = {"left_out": {".jpg": 312, "marked_folder": 1}, "missing": 7, "warnings": ["Look [here]."]}
    with db.begin() as session:
        job = make_job(session, state=JobState.SUCCEEDED, unit={"state": "done"}, result=found)
    shown = mfa("jobs", job.id).stdout
    assert "Left out: 312 .jpg, 1 folder with .nomedia or .ndignore." in shown
    assert "7 tracks are gone and marked as missing." in shown
    assert "Look [here]." in shown


def test_a_track_can_be_named_by_its_id_its_file_or_its_path(mfa, db, tmp_path):
    with db.begin() as session:
        model, library = make_model(session), make_library(session, path=str(tmp_path))
        track = make_analysed_track(session, library, model, "sub/one.mp3")
        make_analysed_track(session, library, model, "two.mp3")
    for name in (track.id, tmp_path / "sub" / "one.mp3", "sub/one.mp3"):
        result = mfa("similar", name)
        assert result.exit_code == 0, result.stderr
        assert "1.0\ttwo.mp3" in result.stdout


def test_duplicates_are_listed_and_left_out_of_similar_tracks(mfa, db):
    with db.begin() as session:
        model, library = make_model(session), make_library(session, name="home")
        track = make_analysed_track(session, library, model, "one.mp3")
        make_track(session, library, path="copy of one.mp3", content_hash=track.content_hash)
        make_analysed_track(session, library, model, "two.mp3")
    listed = mfa("duplicates", "--library", "home")
    assert listed.exit_code == 0, listed.stderr
    assert "copy of one.mp3" in listed.stdout
    assert "3 tracks compared, 1 groups of duplicates found" in listed.stderr
    assert "copy of one.mp3" not in mfa("similar", "one.mp3").stdout
    assert "copy of one.mp3" in mfa("similar", "one.mp3", "--duplicates").stdout
    refused = mfa("duplicates", "--similar")
    assert refused.exit_code == 1
    assert "have not been measured" in refused.stderr


def test_a_path_that_several_libraries_have_is_not_guessed(mfa, db):
    with db.begin() as session:
        model = make_model(session)
        for _ in range(2):
            make_analysed_track(session, make_library(session), model, "one.mp3")
    result = mfa("similar", "one.mp3")
    assert result.exit_code == 2
    assert "Several libraries have a track one.mp3" in result.stderr


def test_models_are_listed(mfa, db):
    with db.begin() as session:
        make_model(session)
    assert "test-model@1" in mfa("models").stdout


def test_keys_are_created_listed_and_revoked(keyed_url, db, tmp_path, monkeypatch):
    with db.begin() as session:
        _, secret = make_api_key(session, "admin")
    mfa = runner(keyed_url, tmp_path, monkeypatch, api_key=secret)
    created = mfa("keys", "create", "player", "--scope", "read", "--days", "7")
    assert created.exit_code == 0, created.stderr
    assert created.stdout.startswith("mfa_")
    assert "player" in mfa("keys", "list").stdout
    with db() as session:
        key = session.scalars(select(ApiKey).where(ApiKey.name == "player")).one()
    assert "revoked" in mfa("keys", "revoke", key.id).stdout
    assert "revoked" in mfa("keys", "list").stdout
    without = runner(keyed_url, tmp_path, monkeypatch)("jobs")
    assert without.exit_code == 1
    assert "MFA_API_KEY" in without.stderr


@contextmanager
def _forbidden(*_: object) -> Iterator[None]:
    pytest.fail("the stack was started")
    yield


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        ("missing", "There is no folder"),
        ("empty", "There are no audio files"),
        ("file.mp3", "There is no folder"),
    ],
)
def test_a_demo_of_nothing_ends_before_anything_starts(mfa, tmp_path, monkeypatch, folder, sentence):
    monkeypatch.setattr(local, "local_stack", _forbidden)
    (tmp_path / "empty" / ".hidden").mkdir(parents=True)
    (tmp_path / "empty" / "notes.txt").write_text("no music")
    (tmp_path / "file.mp3").write_text("no folder")
    result = mfa("demo", tmp_path / folder)
    assert result.exit_code == 1
    assert result.stderr.startswith(sentence)
    assert len(result.stderr.splitlines()) == 1


def test_a_demo_without_the_samples_says_how_to_get_them(mfa, monkeypatch):
    monkeypatch.setattr(local, "local_stack", _forbidden)
    result = mfa("demo")
    assert result.exit_code == 1
    assert "make setup" in result.stderr


class _Stack:
    def __init__(self, url: str) -> None:
        self.url = url


def test_a_demo_labels_the_folder_writes_the_results_and_sums_up(
    mfa, open_url, db, files, tmp_path, monkeypatch
):
    @contextmanager
    def running(_: Settings) -> Iterator[_Stack]:
        yield _Stack(open_url)

    monkeypatch.setattr(local, "local_stack", running)
    with worker(db):
        result = mfa("demo", files)
        again = mfa("demo", files)
    for outcome in (result, again):
        assert outcome.exit_code == 0, outcome.output
        assert "2 tracks labelled" in outcome.stdout
        assert "20 s of audio" in outcome.stdout
        assert "times real time" in outcome.stdout
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 3


def test_a_stack_that_cannot_start_is_one_line(mfa, files, monkeypatch):
    @contextmanager
    def taken(*_: object) -> Iterator[None]:
        raise PortInUse
        yield

    monkeypatch.setattr(local, "local_stack", taken)
    for command in (["demo", str(files)], ["serve"]):
        result = mfa(*command)
        assert result.exit_code == 1
        assert result.stderr == f"{PortInUse.__doc__}\n"


def test_libraries_are_listed_renamed_moved_and_removed(mfa, db, music):
    with db.begin() as session:
        library = make_library(session, name="home", path=str(music))
        make_track(session, library, path="there.mp3")
    (music / "jazz" / "there.mp3").touch()
    listed = mfa("libraries").stdout
    assert "home" in listed
    assert str(music) in listed
    assert "called jazz/live now" in mfa("libraries", "rename", "home", "jazz/live").stdout
    moved = mfa("libraries", "move", "jazz/live", music / "jazz")
    assert str(music / "jazz") in moved.stdout
    kept = mfa("libraries", "remove", "jazz/live")  # nobody says yes
    assert kept.exit_code == 1
    assert "jazz/live" in mfa("libraries").stdout
    assert "is removed" in mfa("libraries", "remove", "jazz/live", "--yes").stdout
    assert "jazz/live" not in mfa("libraries").stdout
    assert (music / "jazz").is_dir()
    missing = mfa("libraries", "rename", "home", "x" * 201)
    assert missing.exit_code == 2
    assert "at most 200 characters" in missing.stderr


def test_jobs_models_and_runs_are_deleted(mfa, db):
    with db.begin() as session:
        make_model(session)
        make_model(session, alias=None, name="mine")
        library = make_library(session)
        job = make_finished_job(session, library, make_model(session, alias=None, name="m"), [])
        run = make_run(session)
        session.get_one(Job, run.id).state = JobState.CANCELLED
    assert "is deleted" in mfa("jobs", job.id, "--delete").stdout
    assert "is deleted" in mfa("models", "remove", "mine@1", "--yes").stdout
    assert "is deleted" in mfa("runs", run.id, "--delete").stdout
    refused = mfa("models", "remove", "test-model@1", "--yes")
    assert refused.exit_code == 1
    assert "`default`" in refused.stderr
    for arguments in (["jobs", "--delete"], ["runs", "--delete"], ["studies", "--delete"]):
        assert "Name the" in mfa(*arguments).stderr
