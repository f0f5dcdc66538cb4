"""Training through REST and Celery: own labels, a promotion, relabelling from stored embeddings."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from core.config.experiment import load_experiment
from core.pretrained.smoke_data import write_clips
from core.settings import PROJECT, get_settings
from core.store.tables import Epoch, JobUnit, Model
from tests.e2e.conftest import RunningStack
from tests.e2e.rows import assert_nothing_lost_or_doubled
from tests.e2e.waiting import wait_for
from tests.support.processes import POOL_CHILD, children_of

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

TRACKS = 28
KINDS = ("acoustic", "electronic")


def submit(running: RunningStack, experiment: dict[str, Any], **overrides: Any) -> str:
    params = {"experiment": experiment, "overrides": overrides}
    response = running.http.post("/jobs", json={"kind": "training", "params": params})
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def experiment_of(file: str, root: Path) -> dict[str, Any]:
    config = load_experiment(PROJECT / "configs" / file).model_dump(mode="json")
    return config | {"dataset": config["dataset"] | {"root": str(root)}}


@pytest.fixture(scope="module")
def samples(running: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sample library, labelled by the pretrained model."""
    root = tmp_path_factory.mktemp("samples") / "music"
    shutil.copytree(get_settings().data_dir / "samples", root)
    running.add_library("samples", root)
    job = running.wait_for_end(running.submit("samples"), timeout_s=240)
    assert job["progress"]["done"] == TRACKS
    return root


@pytest.fixture(scope="module")
def trained(running: RunningStack, samples: Path) -> dict[str, Any]:
    """The job that has learnt the labels in the samples' paths."""
    job_id = submit(running, experiment_of("experiments/samples.yaml", samples))
    return running.wait_for_end(job_id, timeout_s=280)


def test_the_answer_says_how_good_the_new_model_is(trained: dict[str, Any]) -> None:
    assert trained["state"] == "succeeded", trained
    assert trained["progress"]["percent"] == 100
    outcome = trained["result"]
    assert (outcome["model"], outcome["evaluated_on"]) == ("samples@1", "out_of_fold")
    measured = {label["label"]: label["roc_auc"] for label in outcome["labels"]}
    assert all(measured[kind] > 0.95 for kind in KINDS), measured
    for interval in outcome["intervals"].values():
        assert interval["low"] <= interval["value"] <= interval["high"]


def test_the_run_is_recorded_with_its_curves_and_files(
    running: RunningStack, trained: dict[str, Any]
) -> None:
    run = running.http.get(f"/runs/{trained['id']}").raise_for_status().json()
    assert (run["experiment"], run["state"], run["model"]) == ("samples", "succeeded", "samples@1")
    assert run["config"]["model"]["network"]["kind"] == "musicnn"
    epochs = Counter(each["fold"] for each in run["epochs"])
    assert set(epochs) == {1, 2, 3, 4, 5, None}
    assert sum(epochs.values()) == trained["progress"]["total"] == trained["progress"]["done"]
    for name in run["artifacts"]:
        file = running.http.get(f"/runs/{run['id']}/artifacts/{name}")
        assert file.status_code == 200, name
        assert file.content.startswith(b"\x89PNG") == name.endswith(".png")
    assert running.http.get(f"/runs/{run['id']}/artifacts/model.safetensors").status_code == 404
    assert not list((running.settings.training_dir).glob(run["id"]))


def test_the_promoted_model_relabels_without_opening_a_file(
    running: RunningStack, samples: Path, trained: dict[str, Any]
) -> None:
    """The workers of this stack may not read what its mode forbids."""
    promoted = running.http.post("/models/samples/promote", json={}).raise_for_status().json()
    assert promoted["aliases"] == ["default"]
    for path in samples.rglob("*.opus"):
        path.chmod(0)
    job_id = running.submit("samples")
    job = running.wait_for_end(job_id, timeout_s=60)
    back = running.http.post("/models/rollback").raise_for_status().json()

    assert (job["state"], job["progress"]["done"]) == ("succeeded", TRACKS)
    assert_nothing_lost_or_doubled(running.sessions, job_id, TRACKS)
    results = running.http.get(f"/jobs/{job_id}/results").json()
    assert {result["model"] for result in results} == {"samples@1"}
    for kind in KINDS:
        of_kind = [result for result in results if kind in result["path"]]
        right = sum(kind in [given["label"] for given in result["labels"]] for result in of_kind)
        assert right >= 0.8 * len(of_kind)
    assert (back["name"], back["aliases"]) == ("musicnn-msd", ["default"])


def test_a_killed_training_goes_on_and_ends_once(running: RunningStack, tmp_path: Path) -> None:
    write_clips(tmp_path)
    epochs = 25
    job_id = submit(
        running,
        experiment_of("smoke.yaml", tmp_path) | {"experiment_name": "killed"},
        epochs=epochs,
    )
    running.wait_for_outcomes(job_id, 3, timeout_s=120)
    parent = running.process("worker-train")
    for child in children_of(parent, POOL_CHILD):
        child.kill()
    job = running.wait_for_end(job_id, timeout_s=240)

    assert job["state"] == "succeeded", job
    with running.sessions() as session:
        of_training = select(JobUnit).where(JobUnit.job_id == UUID(job_id), JobUnit.kind == "train")
        (unit,) = session.scalars(of_training)
        known = session.scalars(select(Epoch.epoch).where(Epoch.run_id == UUID(job_id))).all()
        (model,) = session.scalars(select(Model).where(Model.name == "killed"))
    assert sorted(known) == list(range(1, len(known) + 1))
    assert unit.done == len(known) == job["progress"]["total"] <= epochs
    assert model.version == 1
    history = running.http.get(f"/runs/{job_id}/artifacts/history.json").json()
    assert [each["epoch"] for each in history] == sorted(known)


def test_a_cancelled_training_stops_and_gives_no_model(running: RunningStack, tmp_path: Path) -> None:
    write_clips(tmp_path)
    experiment = experiment_of("smoke.yaml", tmp_path) | {"experiment_name": "cancelled"}
    job_id = submit(running, experiment, epochs=100_000)
    running.wait_for_outcomes(job_id, 1, timeout_s=120)
    running.http.post(f"/jobs/{job_id}/cancel").raise_for_status()
    job = running.wait_for_end(job_id, timeout_s=60)
    assert (job["state"], job["result"]) == ("cancelled", None)
    assert running.http.get("/models/cancelled").status_code == 404
    checkpoints = running.settings.training_dir / job_id
    assert wait_for(lambda: list(checkpoints.rglob("manifest.json")) or None, 5)
