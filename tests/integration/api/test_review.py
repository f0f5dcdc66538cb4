"""The review queue over HTTP."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, text

from core.services.review import WHO_HAS_ONE
from core.store.review_leases import REVIEW_LOCK
from core.store.review_pool import Progress, count_progress
from core.store.tables import Review
from core.store.training_tracks import save_training_tracks
from tests.integration.api.gateway import bearer, problem_of
from tests.support.builders import make_analysed_track, make_api_key, make_library, make_model, make_run
from tests.support.stack import eventually

REVIEW = "/api/v1/review"


def test_a_track_is_asked_about_once_and_its_correction_is_progress(http, db):
    with db.begin() as session:
        model, library = make_model(session, thresholds=[0.5] * 3), make_library(session, name="home")
        for path, rock in (("a", 0.9), ("b", 0.55)):
            make_analysed_track(session, library, model, path, [rock, 0.0, 0.0])
    response = http.get(REVIEW, params={"label": "ROCK", "library": "home", "n": 1})
    assert response.headers["cache-control"] == "no-store"
    first = response.json()
    assert (first["label"], first["model"]) == ("rock", "test-model@1")
    (question,) = first["items"]
    assert question["track"]["path"] == "b"
    assert abs(question["value"] - 0.05) < 1e-6
    assert first["progress"] == {"decided": 0, "undecided": 2, "leased": 1, "exact": True}
    labels = {"labels": {"rock": "no"}}
    assert http.put(f"/api/v1/tracks/{question['track']['id']}/labels", json=labels).status_code == 200
    second = http.get(REVIEW, params={"label": "rock"}).json()
    assert [each["track"]["path"] for each in second["items"]] == ["a"]
    assert second["progress"] == {"decided": 1, "undecided": 1, "leased": 1, "exact": True}
    assert http.get(REVIEW, params={"strategy": "suspect"}).json()["warnings"] == []


def test_nobody_waits_for_progress_to_be_counted(http, db, monkeypatch):
    free = []

    def count(*arguments: Any) -> Progress:
        with db() as session:
            free.append(session.scalar(select(func.pg_try_advisory_xact_lock(REVIEW_LOCK))))
        return counted(*arguments)

    counted = count_progress
    monkeypatch.setattr("core.services.review.count_progress", count)
    with db.begin() as session:
        make_analysed_track(session, make_library(session), make_model(session), "a")
    assert len(http.get(REVIEW).json()["items"]) == 1
    assert free == [True]


def test_an_answer_that_is_sent_again_after_a_break_is_neither_lost_nor_doubled(keyed_http, db):
    """The first time the gateway's transaction dies at its last statement, then only its answer gets lost."""
    with db.begin() as session:
        me, you = (bearer(make_api_key(session)[1]) for _ in range(2))
        model, library = make_model(session), make_library(session)
        tracks = {make_analysed_track(session, library, model, path).id for path in "ab"}
    (mine,) = keyed_http.get(REVIEW, params={"strategy": "random", "n": 1}, headers=me).json()["items"]
    address, said = f"/api/v1/tracks/{mine['track']['id']}/labels", {"labels": {"rock": "no", "jazz": "yes"}}

    def send() -> Any:
        return keyed_http.put(address, json=said, headers=me)

    waiting = text("SELECT DISTINCT pid FROM pg_locks WHERE NOT granted")
    with ThreadPoolExecutor(1) as pool, db.begin() as session:
        session.execute(select(Review).with_for_update())
        first = pool.submit(send)
        (held,) = eventually(lambda: session.scalars(waiting).all(), 4)
        assert session.scalar(select(func.pg_terminate_backend(held)))
        assert first.result(timeout=20).status_code == 503
    others = keyed_http.get(REVIEW, headers=you).json()["items"]
    assert {UUID(each["track"]["id"]) for each in others} == tracks - {UUID(mine["track"]["id"])}
    for changed in (2, 0, 0):
        answer = send().raise_for_status().json()
        assert (answer["changed"], len(answer["history"])) == (changed, 2)
    with db() as session:
        found = session.scalars(select(Review).where(Review.sampled_at.is_not(None))).one()
        assert found.confirmed_at is None  # nobody has looked at the track again
        assert found.leased_until <= session.scalar(select(func.now()))


CURVE = {"needed": 71, "low": 52, "high": None, "plateau": 0.86, "reason": None}


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        (
            {"tracks": {"all": 40}, "learning_curve": CURVE},
            {"more": 30, "low": 11, "high": None, "plateau": 0.86, "reason": None, "unmeasured": []},
        ),
        (
            {"tracks": {"all": 50, "train": 40}, "learning_curve": CURVE},
            {"more": 38, "low": 14, "high": None},
        ),
        ({"tracks": {"all": 90}, "learning_curve": CURVE | {"high": 95}}, {"more": 0, "low": 0, "high": 4}),
        (
            {
                "tracks": {"all": 40},
                "learning_curve": CURVE | {"needed": None, "reason": "Too few."},
                "unmeasured": {"harp": "it has one track"},
            },
            {"more": None, "reason": "Too few.", "unmeasured": ["harp"]},
        ),
        ({}, {"more": None, "reason": f"test-model@1 has no learning curve: {WHO_HAS_ONE}"}),
    ],
)
def test_how_many_more_answers_are_needed_counts_those_since_the_training(http, db, results, expected):
    with db.begin() as session:
        model, library = make_model(session), make_library(session, name="home")
        make_run(session, model_id=model.id, results=results)
        learnt, new = (make_analysed_track(session, library, model, path) for path in ("a", "b"))
        save_training_tracks(session, model, {learnt.content_hash or b"": None})
    for track in (learnt, new):
        http.put(f"/api/v1/tracks/{track.id}/labels", json={"labels": {"rock": "yes"}})
    found = http.get(REVIEW, params={"library": "home"}).json()["forecast"]
    assert found | expected == found


def test_questions_are_given_back(http, db):
    with db.begin() as session:
        track = make_analysed_track(session, make_library(session), make_model(session), "a")
    assert len(http.get(REVIEW).json()["items"]) == 1
    assert http.get(REVIEW).json()["items"] == []
    released = http.post(f"{REVIEW}/release", json={"tracks": [str(track.id)]})
    assert released.status_code == 204
    assert len(http.get(REVIEW).json()["items"]) == 1
    assert problem_of(http.post(f"{REVIEW}/release", json={"tracks": []}), 422) == "invalid"


def test_wrong_questions_are_explained(http, db):
    with db.begin() as session:
        make_model(session)
    for query, status, name in (
        ({"label": "polka"}, 422, "invalid"),
        ({"strategy": "entropy"}, 422, "invalid"),
        ({"n": 0}, 422, "invalid"),
        ({"library": "nope"}, 404, "library_not_found"),
        ({"strategy": "disagreement"}, 404, "model_not_found"),  # nothing was the default before
    ):
        assert problem_of(http.get(REVIEW, params=query), status) == name
