"""Pages of models: what each state shows, and who may promote and roll back."""

from typing import Any

import httpx
import pytest

from core.config.params import JobKind
from core.states import JobState
from core.store.registry import list_aliases
from tests.integration.api.gateway import bearer
from tests.support.builders import LABELS, make_api_key, make_job, make_library, make_model, make_run

HTML = {"Accept": "text/html"}
RESULTS: dict[str, Any] = {
    "evaluated_on": "out_of_fold",
    "folds": 5,
    "intervals": {"f1_macro": {"value": 0.8, "low": 0.72, "high": 0.88}},
    "per_label": [
        {
            "label": label,
            "support": 40,
            "precision": 0.81,
            "recall": 0.77,
            "f1": 0.79,
            "pr_auc": 0.9,
            "calibration_error": 0.031,
        }
        for label in LABELS
    ],
    "tracks": {"all": 120},
    "warnings": ["Some <b>labels</b> are rare."],
}
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
    assert "F1, mean over labels" in listed
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
        assert "<strong>better</strong>, macro-F1 0.700 → 0.750" in page(http, path)


def test_a_model_shows_its_training_and_its_scores_with_intervals(http, two_versions):
    shown = page(http, "/models/test-model@2")
    assert "genre tags of the library home" in shown
    assert "Cross-validated in 5 folds" in shown
    assert "0.72–0.88" in shown
    assert "0.031" in shown
    assert "Some &lt;b&gt;labels&lt;/b&gt; are rare." in shown
    assert "Preview the promotion" in shown
    assert "Compare with test-model@1" in shown


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
