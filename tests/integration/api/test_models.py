"""Models over HTTP."""

import pytest

from core.store.session import SessionFactory
from tests.integration.api.gateway import problem_of
from tests.support.builders import LABELS, make_model

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
