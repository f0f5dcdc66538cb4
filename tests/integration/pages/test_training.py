"""Pages of trainings: the runs, one with its curves, and the start of one."""

import pytest

from core.store.experiments import save_epochs
from tests.integration.api.gateway import bearer
from tests.support.builders import make_api_key, make_run

HTML = {"Accept": "text/html"}


def test_without_a_run_the_list_says_so(http):
    assert "Nothing has been trained yet" in http.get("/training", headers=HTML).text


def test_a_run_shows_its_curves_while_it_is_at_work(http, db):
    with db.begin() as session:
        run = make_run(session, "<b>mine</b>")
        before = run.id
    assert "No epoch has ended yet." in http.get(f"/training/{before}", headers=HTML).text
    epochs = [
        {
            "fold": None,
            "epoch": epoch,
            "train_loss": 1 / epoch,
            "validation_loss": 1.5 / epoch,
            "validation": {"f1_macro": 0.5},
            "learning_rate": 0.001,
            "duration_s": 1.0,
            "busy_share": 1.0,
            "is_best": False,
        }
        for epoch in (1, 2, 3)
    ]
    with db.begin() as session:
        save_epochs(session, before, epochs)
    shown = http.get(f"/training/{before}", headers=HTML).text
    assert shown.count("<polyline") == 4
    assert "&lt;b&gt;mine&lt;/b&gt;" in shown
    assert "&lt;b&gt;mine&lt;/b&gt;" in http.get("/training", headers=HTML).text
    assert http.get(f"/training/compare?ids={before}", headers=HTML).status_code == 200


@pytest.mark.parametrize(
    "text", ["", "a: [", "experiment_name: x\nmodel: {kind: nope}", 'a: "\\0"', "a: &a [*a]", "1: 2"]
)
def test_a_wrong_experiment_is_shown_again_with_the_reason(http, text):
    answer = http.post("/training", data={"text": text}, headers=HTML)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert "<textarea" in answer.text


def test_readers_start_nothing(keyed_http, db):
    with db.begin() as session:
        _, reader = make_api_key(session, "read")
    headers = HTML | bearer(reader)
    assert "Start a training" not in keyed_http.get("/training", headers=headers).text
    assert keyed_http.get("/training/new", headers=headers).status_code == 403
