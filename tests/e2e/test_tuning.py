"""Studies through REST and two Celery processes, undisturbed and with kills, and what they are good for.

`pytest tests/e2e/test_tuning.py --trials 30` has thirty trials in each and kills six times.
"""

import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from redis import Redis
from sqlalchemy import select

from core.config.experiment import load_experiment
from core.config.tuning import load_tuning
from core.pretrained.smoke_data import write_clips
from core.settings import PROJECT, get_settings
from core.store.tables import Trial
from tests.e2e.conftest import OPEN_STATES, RunningStack
from tests.e2e.waiting import wait_for
from tests.support.processes import POOL_CHILD, children_of

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ENDS = {"complete", "pruned", "failed"}


def study_of(file: str, experiment: str, root: Path, **changes: Any) -> dict[str, Any]:
    """A study that comes along, on the data at `root`."""
    config = load_tuning(PROJECT / "configs" / "tuning" / file).model_dump(mode="json")
    base = load_experiment(PROJECT / "configs" / experiment).model_dump(mode="json", exclude_unset=True)
    base["dataset"]["root"] = str(root)
    base["training"] = base.get("training", {}) | changes.pop("training", {})
    base["experiment_name"] = changes.get("study_name", base["experiment_name"])
    return config | {"experiment": base} | changes


def submit(running: RunningStack, params: dict[str, Any]) -> str:
    response = running.http.post("/jobs", json={"kind": "tuning", "params": params})
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def read_study(running: RunningStack, study_id: str) -> dict[str, Any]:
    study: dict[str, Any] = running.http.get(f"/studies/{study_id}").raise_for_status().json()
    return study


@pytest.fixture(scope="module")
def trials(request: pytest.FixtureRequest) -> int:
    count: int = request.config.getoption("--trials")
    return count


@pytest.fixture(scope="module")
def tuned(running: RunningStack, trials: int) -> dict[str, Any]:
    """The ended job of a study of the transfer model on the sample library."""
    root = (get_settings().data_dir / "samples").resolve()
    name = {"study_name": "tuned", "n_trials": trials}
    study = study_of("samples.yaml", "experiments/samples.yaml", root, **name)
    return running.wait_for_end(submit(running, {"study": study}), timeout_s=400)


def test_a_study_finds_parameters_that_give_the_same_score_again(
    running: RunningStack, trials: int, tuned: dict[str, Any]
) -> None:
    assert tuned["state"] == "succeeded", tuned
    assert (tuned["progress"]["done"], tuned["progress"]["percent"]) == (trials, 100)
    study = read_study(running, tuned["result"]["study_id"])
    assert study["counts"] == {"complete": trials}
    values = [trial["values"]["roc_auc_macro"] for trial in study["trials"]]
    best = study["best"]["values"]["roc_auc_macro"]
    assert best == max(values) > min(values)
    assert study["importances"]["roc_auc_macro"] == {"model.head": 1}  # all other keys are of some heads
    for name in study["plots"]:
        picture = running.http.get(f"/studies/{study['id']}/plots/{name}.png")
        assert picture.content.startswith(b"\x89PNG")
    assert {"history", "importances", "parallel_coordinates", "slice"} == set(study["plots"])

    response = running.http.post(f"/studies/{study['id']}/train-best")
    assert response.status_code == 202, response.text
    trained = running.wait_for_end(response.json()["id"], timeout_s=120)
    assert trained["state"] == "succeeded", trained
    assert trained["result"]["metrics"]["roc_auc_macro"] == pytest.approx(best, abs=2e-3)


def test_thresholds_are_tuned_as_a_new_version_of_the_model_if_that_is_a_gain(
    running: RunningStack, tuned: dict[str, Any]
) -> None:
    before = running.http.get("/models/tuned").raise_for_status().json()["items"][0]
    job = running.wait_for_end(submit(running, {"thresholds": {"model": "tuned", "min_precision": 0.5}}))
    assert job["state"] == "succeeded", job
    after = running.http.get("/models/tuned").raise_for_status().json()["items"][0]
    if job["result"]["verdict"] == "better":
        assert job["result"]["model"] == f"tuned@{after['version']}"
        assert (after["version"], after["sha256"]) == (before["version"] + 1, before["sha256"])
        assert after["thresholds"] != before["thresholds"]
    else:
        assert job["result"]["model"] is None
        assert after == before
    served = "before" if job["result"]["model"] is None else "threshold"
    for label, threshold in zip(job["result"]["labels"], after["thresholds"], strict=True):
        assert label[served] == pytest.approx(threshold, abs=1e-5)
    for label in job["result"]["labels"]:
        if label["kept"]:
            assert label["threshold"] == pytest.approx(label["before"], abs=1e-5)
        else:
            assert label["recall"] > label["recall_before"] or label["precision_before"] < 0.5
        if label["label"] in job["result"]["unreached"]:
            assert label["kept"]
        else:
            assert label["precision"] >= 0.5  # on other tracks
        if label["label"] in ("acoustic", "electronic") and not label["kept"]:  # the others cannot reach it
            above = [point for point in label["front"] if point["threshold"] >= label["threshold"] - 1e-5]
            assert min(point["precision"] for point in above) >= 0.5
        recalls = [point["recall"] for point in label["front"]]
        assert recalls == sorted(recalls)
        assert recalls[-1] == 1
    refused = running.http.post(
        "/jobs", json={"kind": "tuning", "params": {"thresholds": {"model": "musicnn-msd"}}}
    )
    assert refused.status_code == 422
    assert "only models that are trained here have them" in refused.json()["detail"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clips")
    root.chmod(0o755)
    write_clips(root)
    return root


def test_kills_and_a_flush_cost_no_trial(running: RunningStack, trials: int, clips: Path) -> None:
    """A process of the worker's pool is killed again and again, its parent once."""
    study = study_of("smoke.yaml", "smoke.yaml", clips, study_name="killed", n_trials=trials)
    study_id = submit(running, {"study": study})
    dice = random.Random(7)
    faults: list[Callable[[RunningStack], None]] = [*[kill_child] * (trials // 5 - 1), kill_parent, flush]
    dice.shuffle(faults)
    wait_for(lambda: running.job(study_id)["progress"]["done"] or None, 60)
    for number, fault in enumerate(faults):
        ended_at = 2 + number * (trials - 8) // len(faults)
        wait_for(lambda at=ended_at: finished(running, study_id) >= at or None, 120)  # type: ignore[misc]
        time.sleep(dice.uniform(0, 1))
        assert running.job(study_id)["state"] in OPEN_STATES, "over before the fault"
        fault(running)
    job = running.wait_for_end(study_id, timeout_s=240)

    assert job["state"] == "succeeded", job
    found = read_study(running, study_id)
    states = Counter(trial["state"] for trial in found["trials"])
    assert set(states) <= ENDS
    assert sum(states.values()) == trials
    assert all(trial["error"] for trial in found["trials"] if trial["state"] == "failed")
    with running.sessions() as session:
        numbers = session.scalars(select(Trial.number).where(Trial.study_id == UUID(study_id))).all()
    assert sorted(numbers) == list(range(trials))
    params = [str(trial["params"]) for trial in found["trials"]]
    assert len(set(params)) == trials


def finished(running: RunningStack, job_id: str) -> int:
    progress = running.job(job_id)["progress"]
    return int(progress["done"] + progress["failed"])


def kill_child(running: RunningStack) -> None:
    wait_for(lambda: kill_busiest(running) or None, 60)


def kill_busiest(running: RunningStack) -> bool:
    """Whether there was a process of the pool to kill; others may end while one looks."""
    with suppress(psutil.Error):
        if pool := children_of(running.process("worker-trial"), POOL_CHILD):
            max(pool, key=lambda child: child.cpu_times().user).kill()
            return True
    return False


def kill_parent(running: RunningStack) -> None:
    running.process("worker-trial").kill()


def flush(running: RunningStack) -> None:
    with Redis.from_url(running.stack.broker_url) as redis:
        redis.flushall()


def test_a_cancelled_study_stops_within_seconds_and_goes_on_when_resumed(
    running: RunningStack, clips: Path
) -> None:
    study = study_of("smoke.yaml", "smoke.yaml", clips, study_name="cancelled", n_trials=50)
    study_id = submit(running, {"study": study})
    wait_for(lambda: finished(running, study_id) >= 2 or None, 60)
    refused = running.http.post(f"/studies/{study_id}/resume", json={"n_trials": 2})
    assert refused.status_code == 409
    running.http.post(f"/jobs/{study_id}/cancel").raise_for_status()
    job = running.wait_for_end(study_id, timeout_s=10)
    kept = read_study(running, study_id)["counts"]
    assert job["state"] == "cancelled"
    assert kept.get("complete", 0) + kept.get("pruned", 0) >= 2
    assert {"waiting", "running"}.isdisjoint(kept)
    more = running.http.post(f"/studies/{study_id}/resume", json={"n_trials": 2}).raise_for_status().json()
    assert running.wait_for_end(more["id"])["state"] == "succeeded"
    counts = read_study(running, study_id)["counts"]
    assert counts["complete"] + counts.get("pruned", 0) == kept.get("complete", 0) + kept.get("pruned", 0) + 2
    assert {"waiting", "running"}.isdisjoint(counts)
