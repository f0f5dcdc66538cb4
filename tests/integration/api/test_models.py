"""Models over HTTP."""

import threading
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from core.states import JobState
from core.store.session import SessionFactory
from core.store.tables import Job, JobUnit
from tests.integration.api.gateway import problem_of
from tests.support.builders import LABELS, make_library, make_model, make_run, make_track
from tests.support.worker import run, until

MODELS = "/api/v1/models"


@pytest.fixture(autouse=True)
def _models(db: SessionFactory) -> None:
    with db.begin() as session:
        make_model(session)
        make_model(session, alias=None, version=2)
        make_model(session, alias=None, name="other")


def test_all_versions_are_listed_with_their_aliases(http):
    items = http.get(MODELS).json()["items"]
    assert [(model["name"], model["version"], model["aliases"]) for model in items] == [
        ("other", 1, []),
        ("test-model", 2, []),
        ("test-model", 1, ["default"]),
    ]
    assert items[0]["labels"] == LABELS
    assert items[0]["thresholds"] == [0.1] * 3
    assert "artifact_url" not in items[0]


def test_the_versions_of_one_model_are_listed(http):
    items = http.get(f"{MODELS}/test-model").json()["items"]
    assert [model["version"] for model in items] == [2, 1]
    assert problem_of(http.get(f"{MODELS}/nope"), 404) == "model_not_found"


def test_promoting_a_model_moves_the_alias(http):
    promoted = http.post(f"{MODELS}/test-model/promote", json={})
    assert promoted.status_code == 200
    assert (promoted.json()["version"], promoted.json()["aliases"]) == (2, ["default"])
    back = http.post(f"{MODELS}/test-model/promote", json={"version": 1, "alias": "old"})
    assert (back.json()["version"], back.json()["aliases"]) == (1, ["old", "previous"])


def test_only_what_exists_can_be_promoted(http):
    assert problem_of(http.post(f"{MODELS}/nope/promote", json={}), 404) == "model_not_found"
    missing = http.post(f"{MODELS}/test-model/promote", json={"version": 9})
    assert problem_of(missing, 404) == "model_not_found"
    assert problem_of(http.post(f"{MODELS}/test-model/promote", json={"version": 0}), 422) == "invalid"
    assert problem_of(http.post(f"{MODELS}/test-model/promote"), 422) == "invalid"


def test_a_promotion_can_be_rolled_back(http):
    assert problem_of(http.post(f"{MODELS}/rollback"), 409) == "nothing_to_roll_back_to"
    http.post(f"{MODELS}/test-model/promote", json={})
    back = http.post(f"{MODELS}/rollback").json()
    assert (back["version"], back["aliases"]) == (1, ["default"])
    versions = http.get(f"{MODELS}/test-model").json()["items"]
    assert [(model["version"], model["aliases"]) for model in versions] == [
        (2, ["previous"]),
        (1, ["default"]),
    ]


def open_unit(db: SessionFactory) -> int | None:
    with db() as session:
        return session.scalars(select(JobUnit.id).where(JobUnit.state == "ready")).one_or_none()


def test_a_preview_is_answered_in_time_or_as_a_job(http, db):
    with db.begin() as session:
        make_track(session, make_library(session, name="home"))
    later = http.post(f"{MODELS}/test-model@2/preview", headers={"Prefer": "wait=0"})
    assert later.status_code == 202
    job = later.json()
    assert (job["kind"], job["state"], job["progress"]["total"]) == ("preview", "queued", 1)
    assert job["params"] == {"model": "test-model@2", "against": "test-model@1", "library": None}
    unit_id = open_unit(db)
    assert unit_id is not None
    run(db, unit_id)
    assert http.get(later.headers["Location"]).json()["result"]["left_out"] == {"not_analysed": 1}

    def work() -> None:
        until(lambda: open_unit(db) is not None)
        run(db, open_unit(db) or 0)

    worker = threading.Thread(target=work)
    worker.start()
    body = {"against": "other", "library": "home"}
    answer = http.post(f"{MODELS}/test-model/preview", json=body, headers={"Prefer": "wait=20"})
    worker.join()
    assert answer.status_code == 200, answer.text
    assert answer.headers["preference-applied"] == "wait=20"
    found = answer.json()
    assert (found["model"], found["against"], found["library"]) == ("test-model@2", "other@1", "home")


def test_a_preview_that_makes_no_sense_is_refused(http, db):
    for reference, body, status, code in (
        ("nope", {}, 404, "model_not_found"),
        ("other", {"against": "nope"}, 404, "model_not_found"),
        ("other", {"library": "nope"}, 404, "library_not_found"),
        ("default", {}, 422, "invalid"),
        ("other", {"version": 1}, 422, "invalid"),
        ("x" * 201, {}, 422, "invalid"),
    ):
        refused = http.post(f"{MODELS}/{reference}/preview", json=body)
        assert problem_of(refused, status) == code, (reference, body)
    with db() as session:
        assert session.scalars(select(Job)).all() == []


def test_a_preview_that_fails_says_so(http, db):
    def cancel() -> None:
        until(lambda: open_unit(db) is not None)
        with db.begin() as session:
            job = session.scalars(select(Job)).one()
            job.state = JobState.CANCELLING
            session.flush()
            job.state = JobState.CANCELLED

    worker = threading.Thread(target=cancel)
    worker.start()
    answer = http.post(f"{MODELS}/other/preview", json={}, headers={"Prefer": "wait=20"})
    worker.join()
    assert problem_of(answer, 409) == "job_cancelled"


RESULTS = {
    "evaluated_on": "out_of_fold",
    "folds": 5,
    "intervals": {"f1_macro": {"value": 0.9, "low": 0.8, "high": 0.95}},
    "per_label": [{"label": "rock", "support": 7, "pr_auc": 0.8, "f1": 0.7}],
    "tracks": {"all": 121},
    "warnings": ["few artists"],
}


def train(db: SessionFactory, name: str, dataset_sha256: str = "d", seed: int = 0, **results: object) -> None:
    """A model `name@1` with the run that has made it."""
    with db.begin() as session:
        metrics = {"f1_macro": 0.9, "duration_s": 3.0}
        model = make_model(session, alias=None, name=name, metrics=metrics, sha256=name)
        config = {"dataset": {"kind": "corrections", "library": "home"}, "split": {"folds": 5, "seed": None}}
        make_run(
            session,
            name,
            model_id=model.id,
            config=config,
            seed=seed,
            dataset_sha256=dataset_sha256,
            results=RESULTS | results,
        )


def compare(http: httpx.Client, *references: str) -> dict[str, Any]:
    response = http.get(f"{MODELS}/compare", params={"models": ",".join(references)})
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def test_models_measured_alike_stand_side_by_side(http, db):
    for name in ("first", "second"):
        train(db, name)
    labels = {"labels": ["Jazz", "folk"], "thresholds": [0.2, 0.3]}
    with db.begin() as session:
        make_model(session, alias=None, name="second", version=2, **labels)
    found = compare(http, "first", "second@1")
    assert (found["comparable"], found["reasons"]) == (True, [])
    first = found["models"][0]
    assert (first["model"], first["tracks"], first["folds"]) == ("first@1", {"all": 121}, 5)
    assert (first["trained_on_corrections"], first["warnings"]) == (True, ["few artists"])
    assert first["dataset"] == {"kind": "corrections", "library": "home"}
    assert found["metrics"] == {"f1_macro": [{"value": 0.9, "low": 0.8, "high": 0.95}] * 2}
    assert found["common"] == LABELS
    rock, jazz = found["labels"][:2]
    assert rock == {
        "label": "rock",
        "thresholds": [0.1, 0.1],
        "support": [7, 7],
        "pr_auc": [0.8, 0.8],
        "f1": [0.7, 0.7],
    }
    assert jazz["support"] == [None, None]
    other = compare(http, "first", "second@2")
    assert other["common"] == ["jazz"]
    assert other["only"] == {"first@1": ["rock", "ambient"], "second@2": ["folk"]}
    assert {each["label"]: each["thresholds"] for each in other["labels"]}["folk"] == [None, 0.3]


def test_it_is_said_why_figures_cannot_be_compared(http, db):
    train(db, "first")
    train(db, "others", dataset_sha256="e")
    train(db, "reseeded", seed=1)
    train(db, "tested", evaluated_on="test")
    tuned = {"sha256": "first", "metrics": {"roc_auc_macro": 0.9}}  # the weights of `first`
    with db.begin() as session:
        make_model(session, alias=None, name="first", version=2, **tuned)
    for other, words in (
        ("others", "different tracks or labels"),
        ("reseeded", "their splits or folds differ"),
        ("tested", "others measured on one test part"),
        ("first@2", "The thresholds of first@2 were tuned later"),
        ("test-model", "It is not known what test-model@2 was measured on"),
    ):
        found = compare(http, "first@1", other)
        assert found["comparable"] is False
        assert words in " ".join(found["reasons"]), found["reasons"]
    found = compare(http, "first@1", "first@2")
    assert found["labels"][0]["f1"] == [0.7, None]
    assert found["metrics"]["f1_macro"][1] is None


def test_only_two_to_ten_known_models_are_compared(http):
    for names, status, code in (
        ("other", 422, "invalid"),
        ("other,other@1", 422, "invalid"),
        (",".join(["other"] * 11), 422, "invalid"),
        ("other,nope", 404, "model_not_found"),
    ):
        assert problem_of(http.get(f"{MODELS}/compare", params={"models": names}), status) == code, names


def test_models_are_paged_if_a_limit_is_given_and_else_come_at_once(http, db):
    with db.begin() as session:
        for name, version in (("a", 1), ("a", 2), ("a", 10), ("b", 1)):
            make_model(session, alias=None, name=name, version=version)
    everything = http.get(MODELS).json()
    assert everything["next_cursor"] is None
    found: list[Any] = []
    query: dict[str, Any] = {"limit": 3}
    while "cursor" not in query or query["cursor"]:
        page = http.get(MODELS, params=query).json()
        assert len(page["items"]) == 3 or not page["next_cursor"]
        found += page["items"]
        query["cursor"] = page["next_cursor"]
    assert found == everything["items"]
    assert [each["version"] for each in found if each["name"] == "a"] == [10, 2, 1]
    of_one = http.get(f"{MODELS}/a", params={"limit": 2}).json()
    rest = http.get(f"{MODELS}/a", params={"cursor": of_one["next_cursor"]}).json()
    assert [each["version"] for each in of_one["items"] + rest["items"]] == [10, 2, 1]
    assert problem_of(http.get(MODELS, params={"cursor": "x"}), 422) == "invalid_cursor"
