"""The commands around training, against a real gateway."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import select

from api.client.http import Client
from core.states import JobState
from core.store.session import SessionFactory
from core.store.tables import Job
from core.store.tables import Run as RunOfJob
from tests.integration.api.command import Run, runner
from tests.integration.api.test_trainings import EXPERIMENT, RESULTS
from tests.support.builders import make_library, make_model, make_run


@pytest.fixture
def mfa(open_url: str, db: SessionFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command beside a configuration `mine.yaml`; a transfer can be trained."""
    with db.begin() as session:
        make_library(session, name="home", path=str(tmp_path))
        make_model(session, artifact_url="file:///models/musicnn-msd-1")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    return runner(open_url, tmp_path, monkeypatch)


@pytest.fixture
def trained(db: SessionFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every training has ended well when one looks at it for the first time."""
    look = Client.get_job

    def end_first(client: Client, job_id: Any) -> Any:
        with db.begin() as session:
            job = session.get_one(Job, job_id)
            if job.state == JobState.QUEUED:
                name = job.params["experiment"]["experiment_name"]
                model = make_model(session, alias=None, name=name)
                run = session.get_one(RunOfJob, job_id)
                run.model_id, run.results, run.metrics = model.id, RESULTS, {"roc_auc_macro": 0.9}
                job.state, job.result = JobState.RUNNING, {"run_id": str(run.id)}
                session.flush()
                job.state = JobState.SUCCEEDED
        return look(client, job_id)

    monkeypatch.setattr(Client, "get_job", end_first)
    monkeypatch.setattr("api.client.progress.LOOK_EVERY_S", 0.01)


@pytest.mark.usefixtures("trained")
def test_train_shows_scores_with_intervals_and_the_new_model(mfa, db):
    result = mfa("train", "--config", "mine.yaml", "--epochs", 3, "--lr", 0.1, "--experiment-name", "short")
    assert result.exit_code == 0, result.output
    assert "short@1, cross-validated" in result.stdout
    assert "ROC-AUC, mean over labels\t0.9\t0.8\t0.95" in result.stdout
    assert "Note: few artists" in result.stdout
    assert "Next: `mfa models preview short@1`" in result.stdout
    with db() as session:
        params = session.scalars(select(Job.params).order_by(Job.created_at)).first()
    assert params is not None
    assert params["experiment"]["training"]["lr"] == 0.1
    assert params["experiment"]["training"]["epochs"] == 3


def test_a_root_is_relative_to_the_working_directory(mfa, db, tmp_path):
    (tmp_path / "songs").mkdir()
    experiment = EXPERIMENT | {"dataset": {"kind": "folder", "root": "songs"}}
    (tmp_path / "folder.yaml").write_text(yaml.safe_dump(experiment))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "get_job", interrupt)
        assert mfa("train", "--config", "folder.yaml").exit_code == 130
    with db() as session:
        params = session.scalars(select(Job.params)).one()
    assert params["experiment"]["dataset"]["root"] == str(tmp_path / "songs")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "--config", "nope.yaml"], "There is no file nope.yaml."),
        (["train", "--config", "wrong.yaml"], "did you mean 'epochs'?"),
        (["models", "promote", "nope"], "There is no model 'nope'"),
        (["models", "rollback"], "No model was the default before this one."),
        (["runs", "0b9a6c1e-6f0f-4b7e-9a53-0d5d1f9f2a11"], "There is no run"),
    ],
)
def test_an_error_is_one_line(mfa, tmp_path, arguments, sentence):
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(EXPERIMENT | {"training": {"epoch": 1}}))
    result = mfa(*arguments)
    assert result.exit_code == (2 if arguments[0] == "train" else 1)
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_models_are_promoted_and_rolled_back(mfa, db):
    with db.begin() as session:
        make_model(session, alias=None, name="mine")
    assert "mine@1 is the default model now." in mfa("models", "promote", "mine@1").stdout
    listed = mfa("models").stdout
    assert "previous" in listed
    assert listed.startswith("model\talso called\tkind\tlabels\tF1\tPR-AUC\tROC-AUC\nmine@1\tdefault\t")
    assert listed.splitlines()[1].endswith("\t0.88")
    back = mfa("models", "rollback").stdout
    assert (
        "test-model@1 is the default model again; a second `mfa models rollback` goes back to mine@1" in back
    )


def test_a_run_shows_what_its_model_card_shows(mfa, db):
    results = RESULTS | {
        "evaluated_on": "out_of_fold",
        "folds": 5,
        "tracks": {"all": 120},
        "groups": {"tail": {"labels": 3.0, "roc_auc": 0.8, "pr_auc": 0.6, "f1": 0.5}},
    }
    results["per_label"] = [results["per_label"][0] | {"chance": 0.025, "threshold": 0.4}]
    config = {
        "dataset": {"kind": "corrections", "library": "home"},
        "model": {"kind": "transfer", "backbone": "musicnn-msd-1"},
    }
    with db.begin() as session:
        metrics = {"roc_auc_macro": 0.9, "pr_auc_chance": 0.025}
        run_id = make_run(session, config=config, results=results, metrics=metrics).id
    shown = mfa("runs", run_id).stdout
    assert "dataset: corrections, home (120 tracks)" in shown
    assert "base models: musicnn-msd-1" in shown
    assert "5-fold cross-validation" in shown
    assert "ROC-AUC, mean over labels\t0.9\t0.8\t0.95\nPR-AUC of guessing\t0.025\t\t\n" in shown
    assert "fewer than 20 training tracks\t3 of 3\t0.8\t0.6\t0.5" in shown
    assert "jazz\t3\t0.9\t0.7\t0.025\n" in shown
    assert "jazz\t0.4\t\t\t\n" in shown


def test_a_model_is_shown_with_intervals_notes_and_what_cannot_be_measured(mfa, db):
    results = RESULTS | {
        "evaluated_on": "out_of_fold",
        "folds": 5,
        "unmeasured": {"harp": "its 2 tracks are of one artist or album"},
        "warnings": ["These labels cannot be measured (harp)."],
    }
    with db.begin() as session:
        metrics = {"roc_auc_macro": 0.9, "measured_labels": 1.0}
        trained = make_model(session, alias=None, name="twelve", metrics=metrics)
        make_run(session, model_id=trained.id, results=results, metrics=metrics)
        make_model(session, alias=None, name="twelve", version=2, sha256=trained.sha256, metrics=metrics)
    for name in ("twelve@1", "twelve@2"):
        shown = mfa("models", "show", name).stdout
        assert "ROC-AUC, mean over labels\t0.9\t0.8\t0.95\n" in shown
        assert "means over labels are of the 1 of" in shown.lower()
        assert shown.count("harp") == 1
        assert "Note: These labels cannot be measured (harp)." in shown
        assert ("thresholds are not those of twelve@1" in shown) == (name == "twelve@2")
        assert "measured_labels" not in shown


def test_runs_are_listed_and_shown(mfa, db):
    with db.begin() as session:
        run_id = make_run(session, metrics={"roc_auc_macro": 0.8, "pr_auc_macro": 0.9}).id
    assert "\t0.9\t" in mfa("runs").stdout
    assert "ROC-AUC, mean over labels" in mfa("runs", run_id).stdout
