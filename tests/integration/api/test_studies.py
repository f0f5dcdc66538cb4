"""Submit a study over HTTP, and read, resume and use what it found."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import optuna
import pytest
import yaml
from optuna.distributions import FloatDistribution
from sqlalchemy import delete, func, select, update

from api.client.http import Client
from core.settings import Settings
from core.states import JobState
from core.store.cursor import encode_cursor
from core.store.session import SessionFactory
from core.store.tables import Epoch, Job, JobUnit, Library, Model, Study, Trial
from tests.integration.api.command import Run, runner
from tests.integration.api.gateway import bearer, problem_of
from tests.support.builders import make_api_key, make_library, make_model

JOBS, STUDIES = "/api/v1/jobs", "/api/v1/studies"
POINT: dict[str, Any] = {
    "fold": None,
    "epoch": 1,
    "train_loss": 0.5,
    "validation_loss": 0.4,
    "validation": {},
}
LR: dict[str, Any] = {"kind": "float", "low": 0.001, "high": 0.1, "log": True}
STUDY: dict[str, Any] = {
    "study_name": "mine",
    "experiment": {
        "experiment_name": "mine",
        "dataset": {"kind": "library", "library": "home"},
        "model": {"kind": "transfer", "head": "linear"},
        "training": {"epochs": 7},
    },
    "space": {"training.lr": LR},
    "n_trials": 5,
}


@pytest.fixture(autouse=True)
def _rows(db: SessionFactory, music: Path) -> None:
    with db.begin() as session:
        make_library(session, name="home", path=str(music))
        make_model(session, artifact_url="file:///models/musicnn-msd-1")


def submit(http: httpx.Client, study: Any = STUDY, headers: Any = None, **params: Any) -> httpx.Response:
    body = {"kind": "tuning", "params": {"study": study, **params}}
    return http.post(JOBS, json=body, headers=headers)


def finish(db: SessionFactory, study_id: str) -> None:
    """As workers would: one trial failed, the others gave their number as value."""
    with db.begin() as session:
        job = session.get_one(Job, UUID(study_id))
        for trial in session.scalars(select(Trial).order_by(Trial.number)):
            trial.params = {"training.lr": 0.01 * (trial.number + 1)}
            trial.state, trial.values = "complete", [float(trial.number)]
            session.add(Epoch(run_id=trial.id, fold=0, epoch=1, metrics=POINT))
            if trial.number == 0:
                trial.state, trial.values = "failed", None
                trial.error_code, trial.error_detail = "training_diverged", "The loss is nan."
        for unit in session.scalars(select(JobUnit)):
            unit.state, unit.started_at = "running", func.now()
            session.flush()
            unit.state, unit.done = "done", 1
        session.get_one(Study, UUID(study_id)).importances = {"roc_auc_macro": {"training.lr": 1.0}}
        job.state, job.result = JobState.RUNNING, {"study_id": study_id, "best": [1]}
        session.flush()
        job.state = JobState.SUCCEEDED


@pytest.fixture
def finished(http: httpx.Client, db: SessionFactory, open_settings: Settings) -> str:
    study_id = str(submit(http).json()["id"])
    finish(db, study_id)
    folder = open_settings.studies_dir / study_id
    folder.mkdir(parents=True)
    (folder / "history.png").write_bytes(b"\x89PNG")
    (folder / "secret.png").write_bytes(b"\x89PNG")
    return study_id


def test_a_study_is_accepted_and_can_be_read_at_once(http):
    response = submit(http)
    assert response.status_code == 202, response.text
    job = response.json()
    assert response.headers["location"] == f"{JOBS}/{job['id']}"
    assert (job["kind"], job["progress"]["total"], job["result"]) == ("tuning", 5, None)
    study = http.get(f"{STUDIES}/{job['id']}").json()
    assert (study["name"], study["state"], study["best"]) == ("mine", "queued", None)
    assert [trial["state"] for trial in study["trials"]] == ["waiting", "waiting"]
    assert [each["id"] for each in http.get(STUDIES).json()["items"]] == [job["id"]]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"space": {}}, "space: "),
        ({"space": {"training.lr": LR | {"low": 0.1}}}, "space.training.lr: low must be less than high"),
        ({"space": {"training.lr": LR | {"low": 2}}}, "space.training.lr: low must be less than high"),
        ({"space": {"training.lr": LR | {"low": 0}}}, "space.training.lr: low must be greater than 0"),
        ({"space": {"training.rate": LR}}, "space.training.rate: Unknown key"),
        ({"space": {"training.learning_rate": LR}}, "did you mean 'training.lr'?"),
        (
            {"space": {"training.batch_size": {"kind": "categorical", "choices": [8, "big"]}}},
            "space.training.batch_size: 'big'",
        ),
        (
            {"space": {"model.backbone": {"kind": "categorical", "choices": ["nope-1"]}}},
            "model.backbone: there is no model 'nope-1'",
        ),
        ({"n_trials": 0}, "n_trials: "),
        ({"experiment": "nope"}, "no experiment file 'nope'"),
        ({"experiment": "My file.yaml"}, "no experiment file 'My file.yaml'"),
    ],
)
def test_a_wrong_study_is_refused_with_the_field(http, db, change, sentence):
    response = submit(http, STUDY | change)
    assert problem_of(response, 422) == "invalid_config"
    assert sentence in response.json()["detail"]
    with db() as session:
        assert session.scalars(select(Job)).all() == []


def test_a_study_or_thresholds_are_to_be_named(http):
    assert problem_of(http.post(JOBS, json={"kind": "tuning", "params": {}}), 422) == "invalid"
    both = submit(http, thresholds={"model": "default"})
    assert problem_of(both, 422) == "invalid"
    two_aims = {"model": "default", "beta": 2, "min_precision": 0.9}
    response = http.post(JOBS, json={"kind": "tuning", "params": {"thresholds": two_aims}})
    assert problem_of(response, 422) == "invalid"
    assert "Name beta or min_precision, not both" in response.text
    only = http.post(JOBS, json={"kind": "tuning", "params": {"thresholds": {"model": "default"}}})
    assert problem_of(only, 422) == "invalid_config"
    assert "model: test-model@1 has no scores of validation tracks" in only.json()["detail"]


def test_only_an_admin_may_search_outside_of_the_libraries(keyed_http, db, tmp_path):
    with db.begin() as session:
        secrets = {scope: make_api_key(session, scope)[1] for scope in ("write", "admin")}
    study = STUDY | {
        "experiment": STUDY["experiment"] | {"dataset": {"kind": "folder", "root": str(tmp_path)}}
    }
    refused = submit(keyed_http, study, bearer(secrets["write"]))
    assert problem_of(refused, 403) == "dataset_outside_libraries"
    accepted = submit(keyed_http, study, bearer(secrets["admin"]))
    assert accepted.status_code == 202
    finish(db, accepted.json()["id"])
    for call, body in (("resume", {"n_trials": 1}), ("train-best", {})):
        url = f"{STUDIES}/{accepted.json()['id']}/{call}"
        assert problem_of(keyed_http.post(url, json=body, headers=bearer(secrets["write"])), 403)


def test_the_best_trial_the_failures_and_the_pictures_are_shown(http, finished):
    study = http.get(f"{STUDIES}/{finished}").json()
    assert study["best"] == {
        "number": 1,
        "params": {"training.lr": 0.02},
        "values": {"roc_auc_macro": 1.0},
    }
    assert study["counts"] == {"complete": 1, "failed": 1}
    assert study["trials"][0]["error"] == {"code": "training_diverged", "detail": "The loss is nan."}
    assert study["importances"] == {"roc_auc_macro": {"training.lr": 1.0}}
    assert study["plots"] == ["history"]
    assert study["failures"] == [study["trials"][0]["error"]]
    assert study["leaders"] == [study["best"]]
    assert "curve" not in study["trials"][1]
    trials = http.get(f"{STUDIES}/{finished}/trials").json()
    assert [trial["curve"] for trial in trials["items"]] == [[], []]
    with_curves = http.get(f"{STUDIES}/{finished}/trials", params={"curves": True}).json()
    assert [trial["curve"] for trial in with_curves["items"]] == [[POINT], [POINT]]
    picture = http.get(f"{STUDIES}/{finished}/plots/history.png")
    assert (picture.headers["content-type"], picture.content) == ("image/png", b"\x89PNG")
    assert picture.headers.get_list("x-content-type-options") == ["nosniff"]
    for name in ("secret", "slice", "..%2F..%2Fx"):
        assert http.get(f"{STUDIES}/{finished}/plots/{name}.png").status_code == 404
    outcome = http.get(f"{JOBS}/{finished}").json()["result"]
    assert (outcome["study_id"], [best["number"] for best in outcome["best"]]) == (finished, [1])
    assert problem_of(http.get(f"{STUDIES}/{UUID(int=0)}"), 404) == "study_not_found"


def test_a_study_says_how_it_searches_and_the_list_what_it_has_found(http, db, finished):
    two = [{"metric": "roc_auc_macro"}, {"metric": "latency_ms"}]
    http.post(f"{STUDIES}/{finished}/resume", json={"n_trials": 1})
    http.post(JOBS, json={"kind": "tuning", "params": {"study": STUDY | {"objectives": two}}})
    lower = STUDY | {"objectives": [{"metric": "latency_ms"}], "sampler": {"kind": "random"}}
    least = submit(http, lower).json()["id"]
    add_trials(db, least, 3, lambda number: [10.0 - number])
    listed = {study["id"]: study for study in http.get(STUDIES).json()["items"]}
    assert len(listed) == 3
    assert listed[finished]["best"]["values"] == {"roc_auc_macro": 1.0}
    assert listed[least]["best"]["values"] == {"latency_ms": 6.0}
    assert listed[least]["sampler"] == "random"
    assert listed[least]["objectives"] == [{"metric": "latency_ms", "direction": "minimize"}]
    assert [each["best"] for each in listed.values() if len(each["objectives"]) == 2] == [None]


def read_all(http: httpx.Client, study_id: str, **query: Any) -> list[int]:
    """The numbers of all trials, over pages of two."""
    seen: list[int] = []
    cursor: dict[str, Any] = {}
    while True:
        page = http.get(f"{STUDIES}/{study_id}/trials", params={"limit": 2} | query | cursor)
        assert page.status_code == 200, page.text
        seen += [trial["number"] for trial in page.json()["items"]]
        if page.json()["next_cursor"] is None:
            return seen
        cursor = {"cursor": page.json()["next_cursor"]}


@pytest.fixture
def unsorted(http: httpx.Client, db: SessionFactory) -> str:
    """Seven trials, some without a value in some column."""
    space = {"training.optimizer": {"kind": "categorical", "choices": ["sgd", "adamw"]}, "training.lr": LR}
    study_id = str(submit(http, STUDY | {"space": space}).json()["id"])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with db.begin() as session:
        session.execute(delete(Trial))
        for number, value in enumerate((0.5, None, 0.1 + 0.2, 0.5, None, 0.9, 0.30000000000000001)):
            params: dict[str, Any] = {"training.optimizer": "adamw" if number % 2 else "sgd"}
            if number != 3:
                params["training.lr"] = 0.01 * (number % 3 + 1)
            session.add(
                Trial(
                    study_id=UUID(study_id),
                    number=number,
                    state="pruned" if value is None else "complete",
                    params=params,
                    values=None if value is None else [value],
                    error_detail="Ended after epoch 3." if number == 1 else None,
                    started_at=start,
                    finished_at=None if number == 6 else start + timedelta(seconds=number * 0.3),
                )
            )
    return study_id


@pytest.mark.parametrize(
    ("sort", "numbers"),
    [
        ("number", [0, 1, 2, 3, 4, 5, 6]),
        ("-number", [6, 5, 4, 3, 2, 1, 0]),
        ("state", [0, 2, 3, 5, 6, 1, 4]),
        ("-duration", [5, 4, 3, 2, 1, 0, 6]),
        ("values.roc_auc_macro", [6, 2, 0, 3, 5, 1, 4]),
        ("-values.roc_auc_macro", [5, 0, 3, 2, 6, 1, 4]),
        ("params.training.lr", [0, 6, 1, 4, 2, 5, 3]),
        ("-params.training.optimizer", [0, 2, 4, 6, 1, 3, 5]),
    ],
)
def test_trials_come_in_the_order_of_any_column(http, unsorted, sort, numbers):
    assert read_all(http, unsorted, sort=sort) == numbers


def test_trials_of_a_state_and_why_they_ended(http, unsorted):
    assert read_all(http, unsorted, state="pruned", sort="-number") == [4, 1]
    reasons = {
        number: http.get(f"{STUDIES}/{unsorted}/trials/{number}").json()["reason"] for number in (0, 1, 4)
    }
    assert reasons == {
        0: None,
        1: "Ended after epoch 3.",
        4: "It did worse than other trials at the same epoch.",
    }


@pytest.mark.parametrize("sort", ["params.training.epochs", "values.accuracy"])
def test_an_unknown_column_is_refused_with_those_that_there_are(http, unsorted, sort):
    refused = http.get(f"{STUDIES}/{unsorted}/trials", params={"sort": sort})
    assert problem_of(refused, 422) == "invalid"
    assert "number, state, duration, values.roc_auc_macro, params.training" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("sort", "key"),
    [
        ("number", [[1], 2**31]),
        ("number", [["x"], 1]),
        ("state", [["a\0"], 1]),
        ("params.training.lr", [["a\0"], 1]),
        ("params.training.lr", [["\ud800"], 1]),
        ("params.training.lr", [[{}], 1]),
        ("params.training.lr", [[float("nan")], 1]),
        ("values.roc_auc_macro", [None, 1]),
    ],
)
def test_a_made_up_cursor_is_refused(http, unsorted, sort, key):
    cursor = encode_cursor(*key)
    refused = http.get(f"{STUDIES}/{unsorted}/trials", params={"sort": sort, "cursor": cursor})
    assert problem_of(refused, 422) == "invalid_cursor"


def test_one_trial_comes_with_its_curve(http, finished):
    trial = http.get(f"{STUDIES}/{finished}/trials/1").json()
    assert (trial["number"], trial["curve"]) == (1, [POINT])
    assert UUID(trial["id"])
    failed = http.get(f"{STUDIES}/{finished}/trials/0").json()
    assert failed["reason"] == failed["error"]["detail"] == "The loss is nan."
    assert problem_of(http.get(f"{STUDIES}/{finished}/trials/7"), 404) == "trial_not_found"
    assert problem_of(http.get(f"{STUDIES}/{UUID(int=0)}/trials/0"), 404) == "study_not_found"


def add_trials(db: SessionFactory, study_id: str, count: int, values: Callable[[int], list[float]]) -> None:
    with db.begin() as session:
        for number in range(2, count + 2):
            trial = Trial(
                study_id=UUID(study_id),
                number=number,
                state="complete",
                params={"training.lr": 0.01},
                values=values(number),
            )
            session.add(trial)
            session.flush()
            session.add_all(
                Epoch(run_id=trial.id, fold=0, epoch=epoch, metrics=POINT) for epoch in range(1, 51)
            )


def test_trials_come_in_pages_and_the_details_stay_small(http, db, finished):
    add_trials(db, finished, 300, lambda number: [float(number % 7)])
    details = http.get(f"{STUDIES}/{finished}")
    study = details.json()
    assert len(details.content) < 100_000
    assert study["best"]["values"] == {"roc_auc_macro": 6.0}
    assert [each["number"] for each in study["leaders"]][:3] == [6, 13, 20]
    assert (len(study["leaders"]), len(study["trials"])) == (20, 100)
    assert study["counts"] == {"complete": 301, "failed": 1}
    for curves, size in ((True, 20), (False, 1000)):
        query = {"curves": curves, "limit": 1000}
        seen, cursor = [], None
        while True:
            page = http.get(
                f"{STUDIES}/{finished}/trials", params=query | ({"cursor": cursor} if cursor else {})
            )
            items, cursor = page.json()["items"], page.json()["next_cursor"]
            assert len(items) <= size
            seen += [trial["number"] for trial in items]
            if cursor is None:
                break
        assert seen == list(range(302))
    rest = http.get(f"{STUDIES}/{finished}/trials", params={"cursor": study["trials_cursor"]}).json()
    assert rest["items"][0]["number"] == 100
    wrong = http.get(f"{STUDIES}/{finished}/trials", params={"cursor": "x"})
    assert problem_of(wrong, 422) == "invalid_cursor"
    assert problem_of(http.get(f"{STUDIES}/{UUID(int=0)}/trials"), 404) == "study_not_found"


def test_a_large_pareto_front_is_counted_and_cut(http, db):
    objectives = [{"metric": "roc_auc_macro"}, {"metric": "latency_ms"}]
    study_id = submit(http, STUDY | {"objectives": objectives}).json()["id"]
    add_trials(db, study_id, 150, lambda number: [float(number), float(number)])
    study = http.get(f"{STUDIES}/{study_id}").json()
    assert (len(study["pareto_front"]), study["pareto_size"]) == (100, 150)
    assert (study["best"], study["leaders"]) == (None, [])


def test_the_best_is_trained_with_one_call_and_the_study_goes_on(http, finished):
    training = http.post(f"{STUDIES}/{finished}/train-best")
    assert training.status_code == 202, training.text
    experiment = training.json()["params"]["experiment"]
    assert (experiment["training"]["lr"], experiment["training"]["epochs"]) == (0.02, 7)
    assert training.json()["params"]["study_id"] == finished
    retry = http.post(f"{JOBS}/{finished}/retry")
    assert problem_of(retry, 409) == "nothing_to_retry"
    assert "/resume adds trials" in retry.json()["detail"]
    failed = http.post(f"{STUDIES}/{finished}/train-best", json={"trial": 0})
    assert problem_of(failed, 409) == "no_best_trial"
    more = http.post(f"{STUDIES}/{finished}/resume", json={"n_trials": 3})
    assert more.status_code == 202, more.text
    assert more.json()["progress"]["total"] == 3
    assert http.get(f"{STUDIES}/{finished}").json()["job_id"] == more.json()["id"]
    again = http.post(f"{STUDIES}/{finished}/resume", json={"n_trials": 3})
    assert problem_of(again, 409) == "study_at_work"


def test_a_study_is_not_resumed_without_the_models_that_its_trials_build_on(http, db, finished):
    with db.begin() as session:
        session.execute(update(Model).values(artifact_url="file:///models/other-1"))
    refused = http.post(f"{STUDIES}/{finished}/resume", json={"n_trials": 3})
    assert problem_of(refused, 422) == "invalid_config"
    assert "model.backbone" in refused.json()["detail"]


def test_known_keys_are_answered_although_everything_they_name_is_gone(http, db, finished):
    bodies = {
        f"{STUDIES}/{finished}/resume": {"n_trials": 3},
        f"{STUDIES}/{finished}/train-best": {},
        JOBS: {"kind": "tuning", "params": {"study": STUDY}},
    }
    keys = {url: {"Idempotency-Key": url} for url in bodies}
    first = {url: http.post(url, json=body, headers=keys[url]).json()["id"] for url, body in bodies.items()}
    with db.begin() as session:
        session.delete(session.get_one(Study, UUID(finished)))
        session.execute(update(Library).values(name="another"))
    for url, body in bodies.items():
        again = http.post(url, json=body, headers=keys[url])
        assert (again.status_code, again.json()["id"]) == (202, first[url]), again.text
        assert again.headers["idempotent-replayed"] == "true"
    other = http.post(f"{STUDIES}/{finished}/resume", json={"n_trials": 4}, headers=keys[JOBS])
    assert problem_of(other, 422) == "idempotency_key_reused"


@pytest.fixture
def mfa(open_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    return runner(open_url, tmp_path, monkeypatch)


def test_tune_follows_its_trials_and_shows_the_best(mfa, db, monkeypatch, open_settings):
    look = Client.get_job

    def end_first(client: Client, job_id: UUID) -> Any:
        with db() as session:
            is_queued = session.get_one(Job, job_id).state == JobState.QUEUED
        if is_queued:
            finish(db, str(job_id))
        return look(client, job_id)

    monkeypatch.setattr(Client, "get_job", end_first)
    monkeypatch.setattr("api.client.progress.LOOK_EVERY_S", 0.01)
    result = mfa("tune", "--config", "study.yaml", "--trials", 9)
    assert result.exit_code == 0, result.output
    assert "The best is trial 1" in result.stdout
    assert "training.lr 0.02" in result.stdout
    assert "A trial failed: The loss is nan." in result.stdout
    assert "Share of the variance of ROC-AUC, mean over labels" in result.stdout
    with db() as session:
        study = session.scalars(select(Study)).one()
    assert study.config["n_trials"] == 9
    assert "1 complete, 1 failed" in mfa("studies").stdout
    folder = open_settings.studies_dir / str(study.id)
    folder.mkdir(parents=True)
    (folder / "history.png").write_bytes(b"\x89PNG")
    shown = mfa("studies", "last").stdout
    assert "The best is trial 1" in shown
    assert f"Pictures: history; `mfa studies {study.id} --save FOLDER`" in shown
    assert mfa("studies", "last", "--save", "new/pictures").exit_code == 0
    assert Path("new/pictures/history.png").read_bytes() == b"\x89PNG"


def test_a_study_is_exported_to_a_storage_of_optuna(mfa, db, http, finished, tmp_path, capfd):
    add_trials(db, finished, 30, lambda number: [float(number % 7)])
    with db.begin() as session:
        session.add(Trial(study_id=UUID(finished), number=32))
    url = "sqlite:///studies.db"
    result = mfa("studies", finished, "--export-optuna", url)
    assert result.exit_code == 0, result.output + capfd.readouterr().err
    assert "33 trials: `optuna-dashboard sqlite:///studies.db`" in result.stdout
    study = optuna.load_study(study_name=f"mine {finished}", storage=f"sqlite:///{tmp_path}/studies.db")
    assert study.metric_names == ["roc_auc_macro"]
    assert study.best_trial.number == 6
    states = Counter(trial.state.name for trial in study.trials)
    assert states == {"FAIL": 1, "COMPLETE": 31, "WAITING": 1}
    trial = study.trials[5]
    assert (trial.params, trial.value) == ({"training.lr": 0.01}, 5.0)
    assert trial.distributions == {"training.lr": FloatDistribution(0.001, 0.1, log=True)}
    assert trial.intermediate_values == {epoch: -0.4 for epoch in range(1, 51)}
    again = mfa("studies", finished, "--export-optuna", url)
    assert (again.exit_code, "has this study already" in capfd.readouterr().err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["tune"], "Name one of --config FILE, --resume STUDY and --thresholds MODEL."),
        (["tune", "--resume", str(UUID(int=0))], "Give the number of additional trials"),
        (["tune", "--resume", str(UUID(int=0)), "--trials", "1"], "There is no study with this id."),
        (["tune", "--config", "wrong.yaml"], "space.training.lr: low must be less than high"),
        (["tune", "--config", "song.wav"], "song.wav is not a text file in UTF-8"),
        (["train", "--config", "song.wav"], "song.wav is not a text file in UTF-8"),
        (["tune", "--thresholds", "default"], "has no scores of validation tracks"),
        (["studies", "--train-best"], "Name the study"),
    ],
)
def test_an_error_is_one_line(mfa, tmp_path, arguments, sentence):
    wrong = STUDY | {"space": {"training.lr": LR | {"low": 3}}}
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(wrong))
    (tmp_path / "song.wav").write_bytes(b"RIFF\x00\xff\xfeWAVE")
    result = mfa(*arguments)
    assert result.exit_code == (2 if sentence.startswith(("Name", "Give")) or "--config" in arguments else 1)
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1
