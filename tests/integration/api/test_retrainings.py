"""Retrainings over HTTP and on the command line, and the models that they offer."""

from typing import Any

import pytest

from core.states import JobState, Verdict
from core.store.correction_changes import NewCorrection, write_corrections
from core.store.tables import Job, Model, Retraining
from tests.integration.api.command import runner
from tests.integration.api.gateway import problem_of
from tests.support.builders import make_analysed_track, make_library, make_model, make_run

RETRAININGS = "/api/v1/retrainings"
OFFER: dict[str, Any] = {
    "against": "mine@1",
    "verdict": "better",
    "reason": None,
    "tracks": 52,
    "trained_on": 3,
    "not_random": 7,
    "not_labelled": 0,
    "lost_labels": [],
    "new_labels": ["ambient"],
    "artists": 40,
    "labels": 6,
    "f1_before": 0.71,
    "f1": 0.82,
    "difference": 0.11,
    "low": 0.03,
    "high": 0.19,
}
UNDECIDED = OFFER | {
    "verdict": "undecided",
    "tracks": 8,
    "artists": 8,
    "reason": "The tracks are by 8 artists; at least 10 are needed.",
    "low": None,
    "high": None,
}


@pytest.fixture
def mine(db) -> Model:
    """A trained model with a track of a library `home` that was corrected since."""
    with db.begin() as session:
        library = make_library(session, name="home")
        model = make_model(session, name="mine")
        run = make_run(session, model_id=model.id)
        run.library_id = library.id
        track = make_analysed_track(session, library, model, "a.mp3")
    with db.begin() as session:
        said = [NewCorrection(track.content_hash or b"", "rock", Verdict.YES)]
        write_corrections(session, said, author="local", origin="track")
    return model


def test_a_retraining_is_set_up_changed_and_turned_off(http, mine):
    made = http.put(f"{RETRAININGS}/mine", json={"after_tracks": 50})
    assert made.status_code == 200
    assert made.json() | {"tried_at": None} == {
        "model": "mine",
        "enabled": True,
        "after_tracks": 50,
        "library": "home",
        "serving": "mine@1",
        "corrected": 1,
        "tried_at": None,
        "job": None,
        "state": None,
        "offered": None,
        "error": None,
    }
    http.put(f"{RETRAININGS}/mine", json={"after_tracks": 20, "library": "home"})
    assert [each["after_tracks"] for each in http.get(RETRAININGS).json()["items"]] == [20]
    assert http.delete(f"{RETRAININGS}/mine").status_code == 204
    assert http.get(f"{RETRAININGS}/mine").json()["enabled"] is False


def test_what_cannot_be_set_up_is_refused_before_anything_is_stored(http, mine, db):
    with db.begin() as session:
        make_model(session, name="bought", alias=None, sha256="b" * 64)
    for name, body, status, code in (
        ("mine", {"after_tracks": 0}, 422, "invalid"),
        ("mine", {}, 422, "invalid"),
        ("mine", {"after_tracks": 5, "library": "nope"}, 404, "library_not_found"),
        ("nope", {"after_tracks": 5}, 404, "model_not_found"),
        ("bought", {"after_tracks": 5}, 422, "invalid"),
    ):
        assert problem_of(http.put(f"{RETRAININGS}/{name}", json=body), status) == code
    assert http.get(RETRAININGS).json()["items"] == []
    assert problem_of(http.get(f"{RETRAININGS}/mine"), 404) == "retraining_not_found"
    assert problem_of(http.delete(f"{RETRAININGS}/mine"), 404) == "retraining_not_found"


def test_a_failed_training_and_an_offered_model_are_shown(http, mine, db, open_url, tmp_path, monkeypatch):
    mfa = runner(open_url, tmp_path, monkeypatch)
    set_up = mfa("models", "retrain", "mine", "--after", 1)
    assert "after 1 corrected track of home; 1 so far." in set_up.stdout
    with db.begin() as session:
        better = make_model(session, name="mine", version=2, alias=None, offer=OFFER)
        make_model(session, name="mine", version=3, alias=None, offer=UNDECIDED)
        make_model(session, name="mine", version=4, alias=None, offer=OFFER | {"verdict": "worse"})
        run = make_run(session, model_id=better.id)
        job = session.get_one(Job, run.id)
        job.model_id = better.id
        session.get_one(Retraining, "mine").job_id = job.id
    assert http.get("/api/v1/models/mine").json()["items"][2]["offer"] == OFFER | {"unmeasured_labels": []}
    assert http.get(f"{RETRAININGS}/mine").json()["offered"] == "mine@2"
    shown = " ".join(mfa("models").stderr.split())  # through a pipe the table alone is the output
    assert (
        "mine@2 is offered: better than mine@1 on 52 corrected tracks new to both "
        "(left out: 3 known to mine@1, 7 not picked at random): macro-F1 0.82 against 0.71 of mine@1, "
        "difference +0.11 (+0.03 to +0.19); new labels: ambient" in shown
    )
    assert "mine@3 is offered: whether it is better than mine@1 cannot be told on 8 corrected tracks" in shown
    assert "at least 10 are needed; " in shown
    assert "mine@4 is offered: worse" in shown
    assert shown.count("`mfa models promote mine@") == 1  # the better one
    with db.begin() as session:
        for state in (JobState.RUNNING, JobState.FAILED):
            failed = session.get_one(Job, job.id)
            failed.state, failed.error_code = state, "unusable_dataset"
            failed.error_detail = "Too few tracks."
            session.flush()
    assert http.get(f"{RETRAININGS}/mine").json()["error"]["code"] == "unusable_dataset"
    assert "The last training failed: Too few tracks." in mfa("models").stderr
    assert "no longer retrained automatically" in mfa("models", "retrain", "mine", "--off").stdout
    assert mfa("models", "retrain", "mine").exit_code == 2
    assert mfa("models", "retrain", "mine", "--now", "--off").exit_code == 2
    refused = mfa("models", "retrain", "nope", "--now")
    assert (refused.exit_code, "nope" in refused.stderr) == (1, True)
