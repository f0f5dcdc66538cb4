"""Pages of trainings: the runs, one with its curves, and the start of one."""

import pytest
from sqlalchemy import func, select

from core.states import JobState, UnitState
from core.store.experiments import save_epochs
from core.store.tables import Job, JobUnit
from tests.integration.api.gateway import bearer
from tests.support.builders import make_api_key, make_library, make_model, make_run
from tests.support.held_out import RESULTS, make_report

HTML = {"Accept": "text/html"}


def test_without_a_run_the_list_says_so(http):
    assert "Nothing has been trained yet" in http.get("/training", headers=HTML).text


def test_a_run_shows_its_curves_while_it_is_at_work(http, db):
    with db.begin() as session:
        run = make_run(session, "<b>mine</b>")
        before = run.id
    assert "No epoch has ended yet." in http.get(f"/training/{before}", headers=HTML).text
    with db.begin() as session:
        save_epochs(session, before, [make_report(epoch) for epoch in (1, 2, 3)])
    shown = http.get(f"/training/{before}", headers=HTML).text
    assert shown.count("<polyline") == 4
    assert 'data-name="validation" data-values="1:1.5 2:0.75 3:0.5"' in shown
    assert "Epoch 3 of at most 3: training loss 0.3333, validation loss 0.5, macro-F1 0.5, 1 s." in shown
    assert "&lt;b&gt;mine&lt;/b&gt;" in shown
    assert "&lt;b&gt;mine&lt;/b&gt;" in http.get("/training", headers=HTML).text
    compared = http.get(f"/training/compare?ids={before}", headers=HTML)
    assert compared.status_code == 200
    assert compared.text.count("<polyline") == 4
    log = http.get(f"/api/v1/runs/{before}/log").json()
    assert [line["kind"] for line in log["lines"]] == ["stage", "epoch", "epoch", "epoch"]


def test_a_run_says_what_it_does_and_how_it_ended(http, db):
    with db.begin() as session:
        run = make_run(session, results={"warnings": ["Some <b>labels</b> are rare."]})
        unit = session.scalars(select(JobUnit).where(JobUnit.job_id == run.id)).one()
        unit.state, unit.started_at, unit.attempt = UnitState.RUNNING, func.now(), 3
        unit.last_error, unit.activity = "Its worker died.", {"name": "scoring", "done": 3, "total": 12}
    shown = http.get(f"/training/{run.id}", headers=HTML).text
    assert "Now: scoring, 3 of 12." in shown
    assert "Tried again, attempt 3." in shown
    assert "Some &lt;b&gt;labels&lt;/b&gt; are rare." in shown
    with db.begin() as session:
        job = session.get_one(Job, run.id)
        job.state, job.error_code, job.error_detail = JobState.FAILED, "job_failed", "Too few tracks."
    lines = http.get(f"/api/v1/runs/{run.id}/log").json()["lines"]
    assert lines[-1] | {"at": None} == {"kind": "error", "text": "Too few tracks.", "at": None}


def test_the_job_of_a_training_leads_to_its_run_and_model(http, db):
    with db.begin() as session:
        model = make_model(session)
        run = make_run(session, model_id=model.id, metrics={}, results=RESULTS | {"dropped": {}})
        job = session.get_one(Job, run.id)
        job.model_id, job.result = model.id, {"run_id": str(run.id)}
    shown = http.get(f"/jobs/{run.id}", headers=HTML).text
    assert f'href="../training/{run.id}">Run</a>' in shown
    assert 'href="../models/test-model@1">Model test-model@1</a>' in shown
    assert '<pre class="yaml">experiment_name: mine\n</pre>' in shown


def test_the_form_writes_the_configuration(http, db):
    assert "There is no library yet" in http.get("/training/new", headers=HTML).text
    with db.begin() as session:
        make_library(session, name="my music")
    shown = http.get("/training/new", headers=HTML).text
    assert "experiment_name: my-music" in shown
    assert "logistic regression, solved exactly" in shown  # the schema's own words
    query = "library=my+music&labels=corrections&kind=crnn&epochs=5&folds=&head=mlp"
    shown = http.get(f"/training/new?{query}", headers=HTML).text
    assert "kind: corrections\n  library: my music\nmodel:\n  kind: crnn\ntraining:\n  epochs: 5" in shown
    wrong = http.get("/training/new?library=my+music&epochs=0", headers=HTML)
    assert wrong.status_code == 422
    assert 'id="mistake">training.epochs' in wrong.text


@pytest.mark.parametrize(
    "text", ["", "a: [", "experiment_name: x\nmodel: {kind: nope}", 'a: "\\0"', "a: &a [*a]", "1: 2"]
)
def test_a_wrong_experiment_is_shown_again_with_the_reason(http, text):
    answer = http.post("/training", data={"text": text}, headers=HTML)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert "<textarea" in answer.text


def test_what_somebody_wrote_is_kept_whatever_is_wrong_with_it(http):
    text = "experiment_name: mine\ndataset: {kind: library, library: nowhere}\nmodel: {kind: audio_cnn}\n"
    answer = http.post("/training", data={"text": text}, headers=HTML)
    assert answer.status_code == 404
    assert "library: nowhere" in answer.text
    assert 'role="alert"' in answer.text


def test_readers_start_nothing(keyed_http, db):
    with db.begin() as session:
        _, reader = make_api_key(session, "read")
    headers = HTML | bearer(reader)
    assert "Start a training" not in keyed_http.get("/training", headers=headers).text
    assert keyed_http.get("/training/new", headers=headers).status_code == 403
