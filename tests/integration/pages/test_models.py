"""Pages of models: what each state shows, and who may promote and roll back."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from core.config.params import JobKind
from core.states import JobState, Verdict
from core.store.correction_changes import NewCorrection, write_corrections
from core.store.registry import list_aliases, resolve_model
from core.store.tables import Job
from tests.integration.api.gateway import bearer
from tests.support.builders import (
    make_analysed_track,
    make_api_key,
    make_job,
    make_library,
    make_model,
    make_run,
)
from tests.support.held_out import RESULTS, write_held_out

HTML = {"Accept": "text/html"}
OUTCOME: dict[str, Any] = {
    "model": "test-model@2",
    "against": "test-model@1",
    "library": None,
    "tracks": 1210,
    "compared": 1200,
    "unchanged": 1111,
    "corrected": 42,
    "of_windows": 0,
    "left_out": {"not_analysed": 10},
    "agreement": 0.925833,
    "labels": [
        {"label": "jazz", "of": ["model", "against"], "gained": 52, "lost": 37, "kept": 310, "agreement": 0.9}
    ],
    "changes": [
        {
            "track_id": "5d1f0c0e-8a53-4f0e-9c1d-7f3f0a6f4e21",
            "library": "home",
            "path": "jazz/<i>blue</i>.mp3",
            "label": "jazz",
            "scores": {"model": 0.91, "against": 0.12},
            "given": {"model": True, "against": False},
        }
    ],
    "corrections": {
        "tracks": 0,
        "not_evaluated": 0,
        "out_of_fold": {"model": 0, "against": 0},
        "macro_labels": 0,
        "macro": {
            "model": {"precision": None, "recall": None, "f1": None},
            "against": {"precision": None, "recall": None, "f1": None},
        },
        "labels": [],
        "trained_on_corrections": {"model": None, "against": None},
    },
    "warnings": ["Tracks left out, as their audio has not been read yet: 10."],
}


@pytest.fixture
def two_versions(db) -> None:
    """The first is the default; the second has been trained here."""
    with db.begin() as session:
        make_model(session)
        newer = make_model(
            session, alias=None, version=2, sha256="1" * 64, metrics={"f1_macro": 0.8, "tracks": 120.0}
        )
        dataset = {"kind": "library", "library": "home", "labels_from": "genre_tags"}
        make_run(session, config={"dataset": dataset}, model_id=newer.id, results=RESULTS)


@pytest.fixture
def scored(db, tmp_path: Path) -> Path:
    """The files of the second version's training."""
    write_held_out(tmp_path)
    with db.begin() as session:
        resolve_model(session, "test-model@2").artifact_url = tmp_path.as_uri()
    return tmp_path


def page(http: httpx.Client, path: str, status: int = 200) -> str:
    answer = http.get(path, headers=HTML)
    assert answer.status_code == status, answer.text
    return answer.text


def test_without_a_model_the_list_says_where_one_comes_from(http):
    assert "No model is known yet" in page(http, "/models")


def test_versions_are_listed_with_their_aliases_and_what_they_reach(http, two_versions):
    listed = page(http, "/models")
    assert listed.index("test-model@2") < listed.index("test-model@1")
    assert '<span class="state ready">default</span>' in listed
    assert 'data-label="F1"><span class="measured">' in listed
    assert listed.count("–</td>") == 3  # neither is known of the default, and PR-AUC not of the other
    assert "Roll back" not in listed


def test_an_offered_model_says_how_it_compares(http, db, two_versions):
    offer: dict[str, Any] = {
        "against": "test-model@1",
        "verdict": "better",
        "reason": None,
        "tracks": 80,
        "trained_on": 0,
        "not_random": 3,
        "not_labelled": 0,
        "lost_labels": [],
        "new_labels": [],
        "f1_before": 0.7,
        "f1": 0.75,
        "difference": 0.05,
        "low": 0.01,
        "high": 0.09,
    }
    with db.begin() as session:
        make_model(session, alias=None, version=3, sha256="2" * 64, offer=offer)
    for path in ("/models", "/models/test-model@3"):
        shown = page(http, path)
        assert '<span class="state ready">better</span>' in shown
        assert '+0.050 <span class="help">+0.010 to +0.090</span>' in shown


def test_a_model_shows_its_training_and_its_scores_with_intervals(http, two_versions):
    shown = page(http, "/models/test-model@2")
    assert "genre tags of the library home" in shown
    assert "Cross-validated in 5 folds" in shown
    assert "0.72–0.88" in shown
    assert "0.031" in shown
    assert "Some &lt;b&gt;labels&lt;/b&gt; are rare." in shown
    assert "Preview the promotion" in shown
    assert "Compare with test-model@1" in shown


def test_a_model_shows_what_every_threshold_decides(http, two_versions, scored):
    shown = page(http, "/models/test-model@2")
    assert "What a threshold decides" in shown
    assert "Precision by recall: jazz" in shown  # the most frequent label
    shown = page(http, "/models/test-model@2?label=rock&threshold=0.5")
    for name, value in {"given": 3, "right": 2, "precision": "0.667", "recall": "0.667", "lost": 1}.items():
        assert f'data-out="{name}">{value}</td>' in shown
    assert "genre=rock&amp;model=test-model%402&amp;min_score=0.1" in shown
    assert 'points="66.7,0.0 66.7,' not in shown  # one wrong track scores as high as the right ones
    assert 'points="66.7,33.3 66.7,50.0 100.0,62.5"' in shown


def test_a_model_shows_how_far_its_scores_hold_and_what_it_confuses(http, two_versions, scored):
    shown = page(http, "/models/test-model@2")
    assert "expected calibration error 0.200" in shown
    assert "0.0 to 0.1" in shown
    assert '<td>jazz</td><td class="number">1 <span class="quiet">of 4</span>' in shown
    (scored / "test_results.json").unlink()
    assert "artifacts/co_occurrence.png" in page(http, "/models/test-model@2")


@pytest.mark.parametrize("query", ["label=nope", "label=ambient", "threshold=2", "threshold=x"])
def test_a_label_or_threshold_that_there_is_not_is_refused(http, two_versions, scored, query):
    page(http, f"/models/test-model@2?{query}", 422)


def test_a_model_without_stored_scores_says_how_to_get_them(http, two_versions):
    assert "has not stored how its scores are spread" in page(http, "/models/test-model@2")


def test_a_model_without_a_training_says_that_it_is_not_known(http, two_versions):
    shown = page(http, "/models/test-model@1")
    assert "No training on this server has made it." in shown
    assert "This model labels your music" in shown
    assert "Preview the promotion" not in shown
    assert page(http, "/models/default") == shown.replace('href="../models/test-model@1"', "")


@pytest.mark.parametrize("path", ["/models/nope", "/models/nope@1/preview?job=x", "/models/compare"])
def test_what_does_not_exist_is_a_page_with_the_reason(http, db, path):
    answer = http.get(path, headers=HTML)
    assert answer.status_code in (404, 422)
    assert "<h1>" in answer.text


def test_models_stand_side_by_side(http, two_versions):
    shown = page(http, "/models/compare?models=test-model%402&models=test-model%401")
    assert "These figures do not compare" in shown
    assert "It is not known what test-model@1 was measured on" in shown
    assert "F1, mean over labels" in shown


def test_a_preview_is_started_and_followed(http, db, two_versions):
    with db.begin() as session:
        make_library(session, name="home")
    started = http.post("/models/test-model@2/preview", data={"library": ""}, headers=HTML)
    assert started.status_code == 303, started.text
    address = started.headers["location"].removeprefix("../..")
    assert address.startswith("/models/test-model@2/preview?job=")
    waiting = page(http, address)
    assert 'aria-busy="true"' in waiting
    assert "Make it the default" not in waiting


def test_a_preview_says_what_would_change(http, db, two_versions):
    with db.begin() as session:
        job = make_job(
            session,
            kind=JobKind.PREVIEW,
            params={"model": "test-model@2", "against": "test-model@1", "library": None},
            state=JobState.SUCCEEDED,
            result=OUTCOME,
        )
    shown = page(http, f"/models/test-model@2/preview?job={job.id}")
    assert "<strong>89</strong>" in shown
    assert "as their audio has not been read yet: 10." in shown
    assert "jazz/&lt;i&gt;blue&lt;/i&gt;.mp3" in shown
    assert "Make it the default" in shown


def test_a_failed_preview_says_why_and_another_job_is_none(http, db, two_versions):
    with db.begin() as session:
        failed = make_job(
            session,
            kind=JobKind.PREVIEW,
            params={"model": "test-model@2", "against": "default", "library": None},
            state=JobState.FAILED,
            error_code="model_not_found",
            error_detail="The model has been deleted.",
        )
        other = make_job(session)
    assert "The model has been deleted." in page(http, f"/models/test-model@2/preview?job={failed.id}")
    page(http, f"/models/test-model@2/preview?job={other.id}", 404)


def test_a_model_is_promoted_and_rolled_back(http, db, two_versions):
    promoted = http.post("/models/test-model@2/promote", headers=HTML)
    assert (promoted.status_code, promoted.headers["location"]) == (303, "../../models/test-model@2")
    shown = page(http, "/models/test-model@2")
    assert "This model labels your music" in shown
    assert "Roll back to test-model@1" in shown
    back = http.post("/models/rollback", headers=HTML)
    assert (back.status_code, back.headers["location"]) == (303, "../models/test-model@1")
    with db() as session:
        aliases = list_aliases(session)
    assert aliases["default"] < aliases["previous"]


def test_scopes_hide_and_refuse(keyed_http, db, two_versions):
    with db.begin() as session:
        _, reader = make_api_key(session, "read")
        _, writer = make_api_key(session, "write")
    for secret, may_preview in ((reader, False), (writer, True)):
        headers = HTML | bearer(secret)
        shown = keyed_http.get("/models/test-model@2", headers=headers).text
        assert ("Preview the promotion" in shown) == may_preview
        assert keyed_http.post("/models/test-model@2/promote", headers=headers).status_code == 403
        assert keyed_http.post("/models/rollback", headers=headers).status_code == 403


@pytest.fixture
def corrected(db) -> None:
    """The default model was trained here, and a track has been corrected since."""
    experiment = {
        "experiment_name": "mine",
        "dataset": {"kind": "corrections", "library": "home"},
        "model": {"kind": "transfer"},
    }
    with db.begin() as session:
        library = make_library(session, name="home")
        make_model(session, name="musicnn-msd", alias=None, artifact_url="file:///models/musicnn-msd-1")
        model = make_model(session, name="mine", sha256="1" * 64)
        run = make_run(session, config=experiment, model_id=model.id, library_id=library.id)
        session.get_one(Job, run.id).params = {"experiment": experiment}
        track = make_analysed_track(session, library, model, "a.mp3")
    with db.begin() as session:
        said = [NewCorrection(track.content_hash or b"", "rock", Verdict.YES)]
        write_corrections(session, said, author="local", origin="track")


def test_what_was_corrected_since_the_last_training_is_learnt_on_a_click(http, corrected):
    for path in ("/", "/models", "/models/mine@1", "/review"):
        shown = page(http, path)
        assert '<strong class="number">1</strong> track corrected since the training of' in shown
        assert "Train now" in shown
    started = http.post("/models/mine/retrain", headers=HTML)
    assert started.status_code == 303
    run = started.headers["location"].removeprefix("../../")
    assert f'{run}">Look at it</a>' in page(http, "/models")
    page(http, f"/{run}")
    page(http, "/models/mine/retrain", 405)
    assert http.post("/models/mine/retrain", headers=HTML).status_code == 409
    assert http.get("/api/v1/retrainings/mine/progress").json()["job"] == run.removeprefix("training/")
    assert http.post("/api/v1/retrainings/mine/train").json()["type"].endswith("retraining_at_work")


def test_readers_train_nothing(keyed_http, db, corrected):
    with db.begin() as session:
        _, reader = make_api_key(session, "read")
    headers = HTML | bearer(reader)
    shown = keyed_http.get("/models", headers=headers).text
    assert "track corrected since" in shown
    assert "Train now" not in shown
    assert keyed_http.post("/models/mine/retrain", headers=headers).status_code == 403
