"""The review queue over HTTP."""

from typing import Any

import pytest
from sqlalchemy import func, select

from core.store import review
from core.store.training_tracks import save_training_tracks
from tests.integration.api.gateway import problem_of
from tests.support.builders import make_analysed_track, make_library, make_model, make_run

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
    assert first["progress"] == {"decided": 0, "undecided": 2, "leased": 1}
    labels = {"labels": {"rock": "no"}}
    assert http.put(f"/api/v1/tracks/{question['track']['id']}/labels", json=labels).status_code == 200
    second = http.get(REVIEW, params={"label": "rock"}).json()
    assert [each["track"]["path"] for each in second["items"]] == ["a"]
    assert second["progress"] == {"decided": 1, "undecided": 1, "leased": 1}
    assert http.get(REVIEW, params={"strategy": "suspect"}).json()["warnings"] == []


def test_nobody_waits_for_progress_to_be_counted(http, db, monkeypatch):
    free = []

    def count(*arguments: Any) -> review.Progress:
        with db() as session:
            free.append(session.scalar(select(func.pg_try_advisory_xact_lock(review.REVIEW_LOCK))))
        return counted(*arguments)

    counted = review.count_progress
    monkeypatch.setattr(review, "count_progress", count)
    with db.begin() as session:
        make_analysed_track(session, make_library(session), make_model(session), "a")
    assert len(http.get(REVIEW).json()["items"]) == 1
    assert free == [True]


CURVE = {"needed": 71, "low": 52, "high": None, "plateau": 0.86, "reason": None}


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        (
            {"tracks": {"all": 40}, "learning_curve": CURVE},
            {"more": 30, "low": 11, "high": None, "plateau": 0.86, "reason": None, "unmeasured": []},
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
        ({}, {"more": None, "reason": "test-model@1 has no learning curve: train it again, here."}),
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
