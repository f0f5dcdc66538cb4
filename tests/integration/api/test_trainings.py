"""Submit a training over HTTP, and read what runs have left."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from core.jobs.endings import finish_complete_jobs
from core.jobs.reaping import cancel_waiting
from core.states import JobState
from core.store.session import SessionFactory
from core.store.tables import Epoch, Job, Library, Model
from tests.integration.api.gateway import bearer, problem_of
from tests.support.builders import make_api_key, make_library, make_model, make_run

JOBS, RUNS, EXPERIMENTS = "/api/v1/jobs", "/api/v1/runs", "/api/v1/experiments"
EXPERIMENT: dict[str, Any] = {
    "experiment_name": "mine",
    "dataset": {"kind": "library", "library": "home"},
    "model": {"kind": "transfer"},
    "training": {"epochs": 7},
}
RESULTS: dict[str, Any] = {
    "evaluated_on": "out_of_fold",
    "intervals": {"roc_auc_macro": {"value": 0.9, "low": 0.8, "high": 0.95}},
    "per_label": [{"label": "jazz", "support": 3, "roc_auc": 0.9, "pr_auc": 0.7, "f1": None}],
    "dropped": {"a.mp3": "corrupt"},
    "warnings": ["few artists"],
}
REPORT: dict[str, Any] = {
    "train_loss": 0.5,
    "validation_loss": None,
    "validation": {},
    "learning_rate": 0.01,
    "duration_s": 1.0,
    "busy_share": 0.9,
    "is_best": False,
}


@pytest.fixture(autouse=True)
def _rows(db: SessionFactory, music: Path) -> None:
    with db.begin() as session:
        make_library(session, name="home", path=str(music))
        make_model(session, artifact_url="file:///models/musicnn-msd-1")


@pytest.fixture
def finished(db: SessionFactory, tmp_path: Path) -> str:
    """The id of a run that has ended well."""
    (tmp_path / "training_curves.png").write_bytes(b"\x89PNG")
    (tmp_path / "model.safetensors").touch()
    with db.begin() as session:
        model = make_model(session, alias=None, name="mine", artifact_url=tmp_path.as_uri())
        metrics = {"roc_auc_macro": 0.9}
        run = make_run(session, model_id=model.id, metrics=metrics, results=RESULTS)
        session.add_all(
            Epoch(run_id=run.id, fold=fold, epoch=1, metrics=REPORT | {"fold": fold or None, "epoch": 1})
            for fold in (0, 1)
        )
        job = session.get_one(Job, run.id)
        job.state, job.result = JobState.RUNNING, {"run_id": str(run.id)}
        session.flush()
        job.state = JobState.SUCCEEDED
        return str(run.id)


def submit(
    http: httpx.Client, experiment: Any = EXPERIMENT, headers: Any = None, **params: Any
) -> httpx.Response:
    body = {"kind": "training", "params": {"experiment": experiment, **params}}
    return http.post(JOBS, json=body, headers=headers)


def test_a_training_is_accepted_and_its_run_can_be_read_at_once(http):
    network = EXPERIMENT | {"model": {"kind": "audio_cnn"}, "split": {"folds": 1}}
    response = submit(http, network, overrides={"epochs": 4})
    assert response.status_code == 202, response.text
    job = response.json()
    assert response.headers["location"] == f"{JOBS}/{job['id']}"
    assert (job["kind"], job["progress"]["total"], job["result"]) == ("training", 4, None)
    run = http.get(f"{RUNS}/{job['id']}").json()
    assert (run["experiment"], run["state"], run["model"], run["epochs"]) == ("mine", "queued", None, [])
    assert problem_of(http.get(f"{JOBS}/{job['id']}/results"), 409) == "job_has_no_items"


def test_a_cancelled_training_can_be_retried_as_a_run_of_its_own(http, db):
    job = submit(http).json()
    assert problem_of(http.post(f"{JOBS}/{job['id']}/retry"), 409) == "job_not_finished"
    http.post(f"{JOBS}/{job['id']}/cancel").raise_for_status()
    with db.begin() as session:
        cancel_waiting(session)
        finish_complete_jobs(session)
    with db.begin() as session:
        session.execute(update(Model).values(artifact_url="file:///models/other-1"))
    assert problem_of(http.post(f"{JOBS}/{job['id']}/retry"), 422) == "invalid_config"  # without its backbone
    with db.begin() as session:
        session.execute(update(Model).values(artifact_url="file:///models/musicnn-msd-1"))
    again = http.post(f"{JOBS}/{job['id']}/retry")
    assert again.status_code == 202, again.text
    assert again.json()["id"] != job["id"]
    runs = [http.get(f"{RUNS}/{each}").json() for each in (job["id"], again.json()["id"])]
    assert [run["state"] for run in runs] == ["cancelled", "queued"]
    assert runs[0]["config"] == runs[1]["config"]


def test_a_known_key_is_answered_although_the_library_and_the_backbone_are_gone(http, db):
    key = {"Idempotency-Key": "k1"}
    job = submit(http, headers=key).json()
    with db.begin() as session:
        session.execute(update(Library).values(name="another"))
        session.execute(update(Model).values(artifact_url="file:///models/other-1"))
    assert problem_of(submit(http), 422) == "invalid_config"
    again = submit(http, headers=key)
    assert (again.status_code, again.json()["id"]) == (202, job["id"])
    other = submit(http, EXPERIMENT | {"training": {"epochs": 8}}, headers=key)
    assert problem_of(other, 422) == "idempotency_key_reused"


def test_an_unknown_key_is_named_with_the_nearest_right_one(http):
    response = submit(http, EXPERIMENT | {"training": {"epoch": 3}})
    assert problem_of(response, 422) == "invalid_config"
    assert "'training.epoch': did you mean 'epochs'?" in response.json()["detail"]


@pytest.mark.parametrize(
    ("params", "location"),
    [
        ({}, "body.params.experiment"),
        ({"experiment": EXPERIMENT, "colour": 1}, "body.params.colour"),
        ({"experiment": EXPERIMENT, "overrides": {"epoch": 1}}, "body.params.overrides.epoch"),
    ],
)
def test_a_wrong_body_is_explained_field_by_field(http, params, location):
    response = http.post(JOBS, json={"kind": "training", "params": params})
    assert problem_of(response, 422) == "invalid"
    assert location in [error["location"] for error in response.json()["errors"]]


def test_only_an_admin_may_learn_from_outside_of_the_libraries(keyed_http, db, tmp_path):
    with db.begin() as session:
        secrets = {scope: make_api_key(session, scope)[1] for scope in ("write", "admin")}
    experiment = EXPERIMENT | {"dataset": {"kind": "folder", "root": str(tmp_path)}}
    refused = submit(keyed_http, experiment, bearer(secrets["write"]))
    assert problem_of(refused, 403) == "dataset_outside_libraries"
    assert submit(keyed_http, experiment, bearer(secrets["admin"])).status_code == 202


def test_the_job_says_how_good_the_model_is(http, finished):
    outcome = http.get(f"{JOBS}/{finished}").json()["result"]
    assert (outcome["model"], outcome["run_id"], outcome["dropped"]) == ("mine@1", finished, 1)
    assert outcome["intervals"] == RESULTS["intervals"]
    assert outcome["labels"][0]["roc_auc"] == 0.9


def test_experiments_and_runs_are_listed_shown_and_compared(http, finished):
    assert [(each["name"], each["run_count"]) for each in http.get(EXPERIMENTS).json()["items"]] == [
        ("mine", 1)
    ]
    assert [run["id"] for run in http.get(f"{EXPERIMENTS}/mine").json()["runs"]] == [finished]
    assert problem_of(http.get(f"{EXPERIMENTS}/nope"), 404) == "experiment_not_found"
    assert [run["id"] for run in http.get(RUNS, params={"experiment": "mine"}).json()["items"]] == [finished]
    run = http.get(f"{RUNS}/{finished}").json()
    assert [(each["fold"], each["epoch"]) for each in run["epochs"]] == [(1, 1), (None, 1)]
    other = submit(http, EXPERIMENT | {"seed": 3}).json()["id"]
    for ids in ({"ids": f"{finished},{other}"}, {"ids": [finished, other]}):
        found = http.get(f"{RUNS}/compare", params=ids).json()
        assert [each["id"] for each in found["runs"]] == [finished, other]
        assert found["metrics"] == {"roc_auc_macro": [0.9, None]}
        assert found["differences"]["seed"] == [None, 3]
    assert problem_of(http.get(f"{RUNS}/compare", params={"ids": "x"}), 422) == "invalid"


def test_the_files_of_a_run_are_served_but_not_its_weights(http, finished):
    file = http.get(f"{RUNS}/{finished}/artifacts/training_curves.png")
    assert (file.status_code, file.headers["content-type"], file.content) == (200, "image/png", b"\x89PNG")
    assert file.headers.get_list("x-content-type-options") == ["nosniff"]
    for name in ("model.safetensors", "history.json", "..%2Fx"):
        response = http.get(f"{RUNS}/{finished}/artifacts/{name}")
        assert response.status_code == 404
