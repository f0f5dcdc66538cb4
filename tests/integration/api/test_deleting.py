"""Changing and deleting libraries, models, jobs, runs and studies over HTTP: gone at once, or refused."""

import threading
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, select, text, update

from api.routes import events
from core.config.params import TuningParams
from core.jobs import progress
from core.jobs.kinds import SubmissionContext
from core.jobs.submission import submit_job
from core.states import JobState
from core.store.experiments import reserve_version
from core.store.tables import Experiment, Job, Prediction, Run, Study
from tests.integration.api.gateway import problem_of
from tests.integration.api.test_studies import STUDY, finish
from tests.integration.api.test_trainings import RESULTS
from tests.support.builders import (
    make_analysed_track,
    make_finished_job,
    make_job,
    make_library,
    make_model,
    make_prediction,
    make_run,
    make_track,
)

API = "/api/v1"
ENDED: dict[str, Any] = {"state": JobState.SUCCEEDED, "unit": {"state": "done"}}


def names(http: httpx.Client, noun: str) -> list[str]:
    return [row["name"] for row in http.get(f"{API}/{noun}").json()["items"]]


# --- libraries


def test_a_library_is_renamed_and_everything_in_it_stays(http, db, music):
    with db.begin() as session:
        library = make_library(session, name="home", path=str(music))
        track = make_analysed_track(session, library, make_model(session), "a.mp3")
        make_job(session, library_id=library.id)  # an open job knows it by its id
    changed = http.patch(f"{API}/libraries/home", json={"name": "jazz/live"})
    assert changed.status_code == 200, changed.text
    assert (changed.json()["name"], changed.json()["tracks"]) == ("jazz/live", 1)
    assert http.get(f"{API}/libraries/jazz/live").json() == changed.json()
    assert problem_of(http.get(f"{API}/libraries/home"), 404) == "library_not_found"
    assert http.get(f"{API}/tracks/{track.id}").json()["library"] == "jazz/live"


def test_a_name_that_is_taken_a_missing_folder_and_an_empty_change_are_refused(http, db, music, tmp_path):
    with db.begin() as session:
        make_library(session, name="home", path=str(music))
        make_library(session, name="other")
    assert problem_of(http.patch(f"{API}/libraries/home", json={"name": "other"}), 409) == "library_exists"
    for name in ("..", "a/./b", "", "x" * 201):
        assert problem_of(http.patch(f"{API}/libraries/home", json={"name": name}), 422) == "invalid"
    gone = {"name": "new", "path": str(tmp_path / "gone")}
    assert problem_of(http.patch(f"{API}/libraries/home", json=gone), 422) == "library_folder_missing"
    assert problem_of(http.patch(f"{API}/libraries/home", json={}), 422) == "invalid"
    assert problem_of(http.patch(f"{API}/libraries/nope", json={"name": "x"}), 404) == "library_not_found"
    assert names(http, "libraries") == ["home", "other"]  # nothing half done


def test_a_library_moves_unless_an_open_job_reads_it(http, db, music):
    with db.begin() as session:
        library = make_library(session, name="home", path=str(music))
        job = make_job(session, library_id=library.id, state=JobState.RUNNING)
    move = {"path": str(music / "jazz")}
    refused = http.patch(f"{API}/libraries/home", json=move)
    assert problem_of(refused, 409) == "library_in_use"
    assert str(job.id) in refused.json()["detail"]
    with db.begin() as session:
        session.get_one(Job, job.id).state = JobState.FAILED
    assert http.patch(f"{API}/libraries/home", json=move).json()["path"] == str(music / "jazz")


def test_a_retry_reads_the_library_that_its_job_read(http, db, music):
    with db.begin() as session:
        library, model = make_library(session, name="home", path=str(music)), make_model(session)
        job = make_finished_job(session, library, model, [], [make_track(session, library)])
    http.patch(f"{API}/libraries/home", json={"name": "jazz"})
    make = {"name": "music", "path": str(music / "jazz")}
    assert http.post(f"{API}/libraries", json=make).status_code == 201
    retry = http.post(f"{API}/jobs/{job.id}/retry").json()
    assert retry["params"]["library"] == "music"  # as was asked for
    with db() as session:
        assert session.get_one(Job, UUID(retry["id"])).library_id == library.id


def test_a_study_follows_the_new_name_of_its_library(http, db, music):
    with db.begin() as session:
        make_library(session, name="home", path=str(music))
        session.add(
            Study(name="s", config={"experiment": {"dataset": {"kind": "library", "library": "home"}}})
        )
    http.patch(f"{API}/libraries/home", json={"name": "music"})
    with db() as session:
        study = session.scalars(select(Study)).one()
    assert study.config["experiment"]["dataset"]["library"] == "music"


def test_a_deleted_library_is_gone_at_once_and_its_name_is_free(http, db, music):
    with db.begin() as session:
        library, model = make_library(session, name="home", path=str(music)), make_model(session)
        other = make_library(session, name="other")
        track = make_analysed_track(session, library, model, "a.mp3")
        copy = make_analysed_track(session, other, model, "b.mp3", content_hash=track.content_hash)
        job = make_finished_job(session, library, model, [track])
    assert http.delete(f"{API}/libraries/home").status_code == 204
    assert names(http, "libraries") == ["other"]
    for path in ("libraries/home", f"jobs/{job.id}/items", f"jobs/{job.id}/results", "tracks?library=home"):
        assert problem_of(http.get(f"{API}/{path}"), 404) == "library_not_found"
    for path in (f"tracks/{track.id}", f"tracks/{track.id}/similar", f"tracks/{track.id}/embedding"):
        assert problem_of(http.get(f"{API}/{path}"), 404) == "track_not_found"
    assert [row["id"] for row in http.get(f"{API}/tracks").json()["items"]] == [str(copy.id)]
    assert http.get(f"{API}/tracks/{copy.id}/similar").json()["items"] == []
    assert http.get(f"{API}/jobs/{job.id}").json()["progress"]["done"] == 1
    assert problem_of(http.post(f"{API}/jobs/{job.id}/retry"), 404) == "library_not_found"
    again = http.post(f"{API}/libraries", json={"name": "home", "path": str(music)})
    assert (again.status_code, again.json()["tracks"]) == (201, 0)
    assert problem_of(http.delete(f"{API}/libraries/nope"), 404) == "library_not_found"


def test_a_library_with_an_open_job_is_not_deleted(http, db):
    with db.begin() as session:
        library = make_library(session, name="home")
        job = make_job(session, library_id=library.id)
    refused = http.delete(f"{API}/libraries/home")
    assert problem_of(refused, 409) == "library_in_use"
    assert str(job.id) in refused.json()["detail"]


def test_a_job_that_is_submitted_while_its_library_is_deleted_comes_before_or_not_at_all(http, db, music):
    """Whoever comes first wins: never is there an open job of a deleted library."""
    with db.begin() as session:
        make_model(session)
    job = {"kind": "analysis", "params": {"library": "home"}}
    calls = {
        "submit": lambda: http.post(f"{API}/jobs", json=job),
        "delete": lambda: http.delete(f"{API}/libraries/home"),
    }
    answers: dict[str, int] = {}

    def call(name: str) -> None:
        answers[name] = calls[name]().status_code

    for _ in range(8):
        assert http.post(f"{API}/libraries", json={"name": "home", "path": str(music)}).status_code == 201
        threads = [threading.Thread(target=call, args=(name,)) for name in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (answers["submit"], answers["delete"]) in {(202, 409), (404, 204)}
        with db.begin() as session:
            session.execute(text("DELETE FROM jobs; DELETE FROM libraries"))


# --- jobs


def test_a_deleted_job_is_gone_at_once_and_its_key_is_free(http, db):
    with db.begin() as session:
        library, model = make_library(session), make_model(session)
        job = make_finished_job(
            session, library, model, [make_analysed_track(session, library, model, "a.mp3")]
        )
        job.idempotency_key = "k"
        open_job = make_job(session)
    assert problem_of(http.delete(f"{API}/jobs/{open_job.id}"), 409) == "job_not_finished"
    assert http.delete(f"{API}/jobs/{job.id}").status_code == 204
    for path in ("", "/items", "/results", "/events"):
        assert problem_of(http.get(f"{API}/jobs/{job.id}{path}"), 404) == "job_not_found"
    for path in ("/cancel", "/retry"):
        assert problem_of(http.post(f"{API}/jobs/{job.id}{path}"), 404) == "job_not_found"
    assert problem_of(http.delete(f"{API}/jobs/{job.id}"), 404) == "job_not_found"
    assert [row["id"] for row in http.get(f"{API}/jobs").json()["items"]] == [str(open_job.id)]
    body = {"kind": "analysis", "params": {"library": library.name}}
    with db() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 1
        assert session.scalars(select(Prediction)).one()
    fresh = http.post(f"{API}/libraries", json={"name": "here", "path": str(Path.cwd())})
    assert fresh.status_code == 201
    body["params"] = {"library": "here"}
    posted = http.post(f"{API}/jobs", json=body, headers={"Idempotency-Key": "k"})
    assert (posted.status_code, "idempotent-replayed" in posted.headers) == (202, False)


def test_a_job_that_an_open_one_retries_is_kept(http, db):
    with db.begin() as session:
        old = make_job(session, **ENDED)
        retry = make_job(session, retry_of=old.id)
    refused = http.delete(f"{API}/jobs/{old.id}")
    assert problem_of(refused, 409) == "job_being_retried"
    assert str(retry.id) in refused.json()["detail"]


@pytest.mark.parametrize(
    ("kind", "unit"), [("training", {"kind": "train", "queue": "train"}), ("analysis", {})]
)
def test_a_job_that_an_open_one_retries_through_another_is_kept(http, db, kind, unit):
    """Its checkpoints or failed items are taken up although the job in between has ended."""
    with db.begin() as session:
        first = make_job(session, kind=kind, **ENDED)
        second = make_job(session, kind=kind, retry_of=first.id, **ENDED)
        named = {"continues": [str(second.id), str(first.id)], "retry_of": str(first.id)}
        payload = {key: named[key] for key in ("continues" if kind == "training" else "retry_of",)}
        third = make_job(session, kind=kind, retry_of=second.id, unit=unit | {"payload": payload})
    for job in (first, second):
        refused = http.delete(f"{API}/jobs/{job.id}")
        assert problem_of(refused, 409) == "job_being_retried"
        assert str(third.id) in refused.json()["detail"]
    with db.begin() as session:
        session.get_one(Job, third.id).state = JobState.RUNNING
        session.flush()
        session.get_one(Job, third.id).state = JobState.FAILED
    for job in (first, second):
        assert http.delete(f"{API}/jobs/{job.id}").status_code == 204


@pytest.mark.parametrize(
    ("column", "code"), [("model_id", "model_not_found"), ("library_id", "library_not_found")]
)
def test_a_job_whose_library_or_model_has_been_swept_is_not_retried(http, db, column, code):
    """Also where the listing had failed, so that there is no item."""
    with db.begin() as session:
        kept = {"library_id": make_library(session, name="home").id, "model_id": make_model(session).id}
        job = make_job(session, state=JobState.FAILED, unit={"state": "failed"}, **(kept | {column: None}))
    assert problem_of(http.post(f"{API}/jobs/{job.id}/retry"), 404) == code


def test_a_job_of_which_half_is_removed_is_never_shown(http, db, monkeypatch):
    """It is deleted, and half of it removed, between the two reads of one request."""
    read = progress.get_progress

    def delete_first(session, jobs):
        with db.begin() as other:
            other.execute(update(Job).where(Job.id == gone.id).values(deleted_at=func.now()))
            other.execute(text("DELETE FROM job_units WHERE job_id = :id AND seq = 0"), {"id": gone.id})
        return read(session, jobs)

    for path in ("", "/{id}"):
        with db.begin() as session:
            library, model = make_library(session), make_model(session, name=f"m{len(path)}")
            gone = make_finished_job(session, library, model, [])
        monkeypatch.setattr("api.views.jobs.get_progress", delete_first)
        answer = http.get(f"{API}/jobs{path.format(id=gone.id)}")
        monkeypatch.setattr("api.views.jobs.get_progress", read)
        if path:
            assert problem_of(answer, 404) == "job_not_found"
        else:
            assert answer.json()["items"] == []


def test_a_stream_of_events_ends_when_its_job_is_deleted(http, db, monkeypatch):
    monkeypatch.setattr(events, "LOOK_EVERY_S", 0.02)
    with db.begin() as session:
        job = make_job(session, state=JobState.RUNNING)
    with http.stream("GET", f"{API}/jobs/{job.id}/events") as response:
        lines = response.iter_lines()
        assert next(line for line in lines if line.startswith("data: "))
        with db.begin() as session:
            session.execute(update(Job).where(Job.id == job.id).values(deleted_at=func.now()))
        assert [line for line in lines if line.startswith("data: ")] == []


def test_results_break_off_when_their_library_is_deleted_meanwhile(http, db, monkeypatch):
    monkeypatch.setattr("api.exports.PAGE", 1)
    with db.begin() as session:
        library, model = make_library(session), make_model(session)
        tracks = [make_analysed_track(session, library, model, f"{number:03}.mp3") for number in range(40)]
        job = make_finished_job(session, library, model, tracks)
    with http.stream("GET", f"{API}/jobs/{job.id}/results?format=jsonl") as response:
        lines = response.iter_lines()
        next(lines)
        with db.begin() as session:
            session.execute(text("UPDATE libraries SET deleted_at = now()"))
        with pytest.raises(httpx.RemoteProtocolError):
            list(lines)


# --- models, runs, studies


def test_a_deleted_model_is_gone_at_once_with_what_it_said(http, db):
    with db.begin() as session:
        library = make_library(session)
        make_model(session)
        mine = make_model(session, alias="previous", name="mine", version=3)
        track = make_analysed_track(session, library, mine, "a.mp3")
        prediction = make_prediction(session, mine)
        predict = make_job(
            session,
            **ENDED,
            kind="predict",
            model_id=mine.id,
            result={"content_hash": prediction.content_hash.hex()},
        )
        job = make_finished_job(session, library, mine, [track])
        make_run(session, "mine", model_id=mine.id, version=3, results=RESULTS)
    assert http.get(f"{API}/jobs/{predict.id}").json()["result"] is not None
    assert http.delete(f"{API}/models/mine@3").status_code == 204
    assert problem_of(http.get(f"{API}/models/mine"), 404) == "model_not_found"
    assert problem_of(http.get(f"{API}/tracks?model=mine@3"), 404) == "model_not_found"
    assert problem_of(http.get(f"{API}/jobs/{job.id}/results"), 404) == "model_not_found"
    assert problem_of(http.post(f"{API}/models/mine/promote", json={}), 404) == "model_not_found"
    assert problem_of(http.post(f"{API}/models/rollback"), 409) == "nothing_to_roll_back_to"
    assert problem_of(http.delete(f"{API}/models/mine@3"), 404) == "model_not_found"
    assert http.get(f"{API}/jobs/{predict.id}").json()["result"] is None
    (run,) = http.get(f"{API}/runs").json()["items"]
    assert run["model"] is None
    with db.begin() as session:
        assert reserve_version(session, "mine") == 4


def test_models_that_something_needs_are_not_deleted(http, db, tmp_path):
    (tmp_path / "model.json").write_text('{"model": {"kind": "ensemble", "members": ["member-1", "x-1"]}}')
    with db.begin() as session:
        make_model(session)
        make_model(session, alias="stable", name="named")
        make_model(session, alias=None, name="member", artifact_url="file:///models/member-1")
        make_model(session, alias=None, name="both", kind="ensemble", artifact_url=tmp_path.as_uri())
        backbone = make_model(session, alias=None, name="base", artifact_url="file:///models/base-1")
        used = make_model(session, alias=None, name="used", artifact_url="file:///models/used-1")
        make_job(session, model_id=used.id)
        experiment = {"experiment_name": "e", "dataset": {"kind": "folder", "root": "/"}}
        params = {"experiment": experiment | {"model": {"kind": "transfer", "backbone": "base-1"}}}
        training = make_job(session, kind="training", params=params)
        make_model(session, alias=None, name="searched", artifact_url="file:///models/searched-1")
        choices = {"kind": "categorical", "choices": ["base-1", "searched-1"]}
        study = {"study_name": "s", "experiment": params["experiment"], "space": {"model.backbone": choices}}
        tuning = make_job(session, kind="tuning", params={"study": study})
    assert backbone.id
    for reference in ("test-model@1", "named@1", "member@1", "base@1", "used@1", "searched@1"):
        refused = http.delete(f"{API}/models/{reference}")
        assert problem_of(refused, 409) == "model_in_use", reference
        assert reference in refused.json()["detail"]
    detail = http.delete(f"{API}/models/base@1").json()["detail"]
    assert any(str(job.id) in detail for job in (training, tuning))
    assert http.delete(f"{API}/models/both@1").status_code == 204
    assert http.delete(f"{API}/models/member@1").status_code == 204  # no ensemble has it any more
    for wrong in ("base", "base@x", "@1"):
        assert problem_of(http.delete(f"{API}/models/{wrong}"), 422) == "invalid"


def test_a_model_that_may_be_a_member_of_an_unreadable_ensemble_is_not_deleted(http, db, tmp_path):
    with db.begin() as session:
        make_model(session, alias=None, name="member", artifact_url="file:///models/member-1")
        for name in ("both", "all"):
            url = (tmp_path / name).as_uri()
            make_model(session, alias=None, name=name, kind="ensemble", artifact_url=url)
    refused = http.delete(f"{API}/models/member@1")
    assert problem_of(refused, 409) == "model_in_use"
    assert "model.json cannot be read" in refused.json()["detail"]
    for gone in ("both", "all", "member"):  # an ensemble is no member of another
        assert http.delete(f"{API}/models/{gone}@1").status_code == 204


def test_a_deleted_run_leaves_its_job_and_its_model(http, db):
    with db.begin() as session:
        model = make_model(session, name="mine")
        run = make_run(session, "mine", model_id=model.id, version=5, results=RESULTS, metrics={})
        session.execute(update(Job).values(result={"run_id": str(run.id)}))
    assert problem_of(http.delete(f"{API}/runs/{run.id}"), 409) == "run_at_work"
    with db.begin() as session:
        session.execute(text("UPDATE jobs SET state = 'running'"))
        session.execute(text("UPDATE jobs SET state = 'succeeded'"))
    assert http.get(f"{API}/jobs/{run.id}").json()["result"]["experiment"] == "mine"
    assert http.delete(f"{API}/runs/{run.id}").status_code == 204
    assert http.get(f"{API}/runs").json()["items"] == []
    for path in (f"runs/{run.id}", f"runs/compare?ids={run.id}", f"runs/{run.id}/artifacts/model.json"):
        assert problem_of(http.get(f"{API}/{path}"), 404) == "run_not_found"
    assert problem_of(http.get(f"{API}/experiments/mine"), 404) == "experiment_not_found"
    assert names(http, "experiments") == []
    shown = http.get(f"{API}/jobs/{run.id}").json()
    assert (shown["state"], shown["result"]) == ("succeeded", None)
    assert names(http, "models") == ["mine"]
    with db.begin() as session:
        assert session.scalars(select(Experiment.last_version)).one() == 5
        assert session.scalars(select(Run)).all() == []


def test_a_deleted_study_leaves_its_job(http, db, music, open_settings):
    with db.begin() as session:
        make_library(session, name="home", path=str(music))
        make_model(session, alias=None, artifact_url="file:///models/musicnn-msd-1")
        context = SubmissionContext("local", is_trusted=True, data_dir=open_settings.data_dir)
        submitted = submit_job(session, TuningParams(study=STUDY), context)
    study_id = str(submitted.job.id)
    assert problem_of(http.delete(f"{API}/studies/{study_id}"), 409) == "study_at_work"
    refused = http.delete(f"{API}/models/test-model@1")  # its trials are built on it
    assert problem_of(refused, 409) == "model_in_use"
    assert study_id in refused.json()["detail"]
    finish(db, study_id)
    assert http.get(f"{API}/jobs/{study_id}").json()["result"]["study_id"] == study_id
    assert http.delete(f"{API}/studies/{study_id}").status_code == 204
    assert http.get(f"{API}/studies").json()["items"] == []
    assert problem_of(http.get(f"{API}/studies/{study_id}"), 404) == "study_not_found"
    for path in ("resume", "train-best"):
        answer = http.post(
            f"{API}/studies/{study_id}/{path}", json={"n_trials": 2} if path == "resume" else {}
        )
        assert problem_of(answer, 404) == "study_not_found"
    shown = http.get(f"{API}/jobs/{study_id}").json()
    assert (shown["state"], shown["result"]) == ("succeeded", None)
