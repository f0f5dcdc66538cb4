"""Pages of studies: the list, one with its pictures and trials, one trial, and the start of one."""

import json
import re
from html import unescape
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy.orm import Session

from core.config.params import JobKind
from core.services.trial_lists import list_outcomes
from core.states import JobState, TrialState
from core.store.session import SessionFactory
from core.store.tables import Epoch, Job, Study, Trial
from tests.integration.api.gateway import bearer
from tests.integration.api.test_studies import STUDY
from tests.support.builders import make_api_key, make_job, make_library, make_model, make_study, make_trial

HTML = {"Accept": "text/html"}
SHARES = {"training.lr": 0.75, "training.optimizer": 0.25}
ENDINGS: dict[int, dict[str, Any]] = {
    2: {"error_detail": "Ended after epoch 3: too high a loss."},
    4: {"state": "failed", "error_code": "training_diverged", "error_detail": "The loss is <nan>."},
}
TWO: dict[str, Any] = {"objectives": [{"metric": "roc_auc_macro"}, {"metric": "latency_ms"}]}
WAITING = {"state": TrialState.WAITING, "params": None, "started_at": None, "finished_at": None}


def read(http: httpx.Client, address: str, status: int = 200, secret: str | None = None) -> str:
    answer = http.get(address, headers=HTML | (bearer(secret) if secret else {}))
    assert answer.status_code == status, answer.text
    return answer.text


def end(session: Session, study: Study, state: JobState = JobState.SUCCEEDED) -> None:
    session.get_one(Job, study.job_id).state = JobState.RUNNING
    session.flush()
    session.get_one(Job, study.job_id).state = state


@pytest.fixture
def study(db: SessionFactory) -> str:
    """Ended: trials 0 to 5, of which one was pruned and one failed."""
    with db.begin() as session:
        row = make_study(session, importances={"roc_auc_macro": SHARES})
        for number, value in enumerate((0.5, 0.7, None, 0.6, None, 0.9)):
            make_trial(session, row, number, value, **ENDINGS.get(number, {}))
        end(session, row)
        return str(row.id)


def drawn(page: str, look: str) -> list[list[int]]:
    """The trials of each path of this look."""
    paths = re.findall(rf'class="{look}" d="[^"]*" data-trials="([^"]*)"', page)
    return [[int(number) for number in found.split()] for found in paths]


def find(pattern: str, page: str) -> str:
    found = re.search(pattern, page, re.DOTALL)
    assert found, page
    return unescape(found.group(1))


def test_without_a_study_the_list_says_so(http):
    page = read(http, "/studies")
    assert "There is no study yet" in page
    assert 'href="./studies/new"' in page


def test_each_job_of_a_study_leads_to_it(http, db, study):
    with db.begin() as session:
        further = make_job(session, kind=JobKind.TUNING, params={"resume": study, "n_trials": 3})
        session.get_one(Study, UUID(study)).job_id = further.id
        other = make_job(session, kind=JobKind.TUNING, params={"resume": str(uuid4()), "n_trials": 3})
    assert f'href="../studies/{study}">Study</a>' in read(http, f"/jobs/{study}")
    assert f'href="../studies/{study}">Study</a>' in read(http, f"/jobs/{further.id}")
    assert ">Study</a>" not in read(http, f"/jobs/{other.id}")  # it has been deleted


def test_the_list_shows_how_it_searches_and_what_it_has_found(http, db, study):
    with db.begin() as session:
        make_study(
            session,
            config=TWO | {"study_name": "two", "sampler": {"kind": "random"}},
        )
    page = read(http, "/studies")
    assert f'href="./studies/{study}/trials/5">0.9</a>' in page
    assert "4 complete, 1 pruned, 1 failed" in page
    assert "random search" in page
    assert "ROC-AUC, mean over labels, Latency in ms" in page


def test_a_study_without_a_complete_trial_says_what_it_waits_for(http, db):
    with db.begin() as session:
        row = make_study(session)
        make_trial(session, row, 0, None, **WAITING)
    page = read(http, f"/studies/{row.id}")
    assert "Pictures come with the first complete trial." in page
    assert "It waits. No dispatcher runs" in page
    assert ">Cancel</button>" in page
    assert ">Resume</button>" not in page
    assert '<svg class="axes' not in page


def test_a_study_at_work_shows_what_there_is(http, db):
    with db.begin() as session:
        row = make_study(session)
        make_trial(session, row, 0, 0.4)
        make_trial(session, row, 1, None, state=TrialState.RUNNING, finished_at=None)
        session.get_one(Job, row.job_id).state = JobState.RUNNING
    page = read(http, f"/studies/{row.id}")
    assert f'<mfa-live id="study" on="jobs readiness" job="{row.job_id}">' in page
    assert drawn(page, "best") == [[0]] * 4  # history, parallel coordinates, two slices
    assert "2 of 30" in re.sub(r"\s+", " ", page)


def test_an_ended_study_shows_its_best_why_others_ended_and_what_matters(http, study):
    page = read(http, f"/studies/{study}")
    assert f'href="../studies/{study}/trials/5">0.9</a>' in page
    assert drawn(page, "complete")[0] == [3]
    assert drawn(page, "best")[0] == [0, 1, 5]
    assert (drawn(page, "pruned"), drawn(page, "failed")) == ([[2]], [[4]])
    assert page.count("The loss is &lt;nan&gt;.") == 2  # among the reasons, and in the table
    assert "Ended after epoch 3: too high a loss." in page
    shares = re.findall(r"<li><code>([^<]*)</code><span class=\"number\">(\d+)", page)
    assert shares == [("training.lr", "75"), ("training.optimizer", "25")]
    assert "Only 4 trials are complete: the shares are rough." in page
    assert ">Cancel</button>" not in page
    assert ">Train the best</button>" in page
    details = json.loads(find(r"data-details='([^']*)'", page))
    assert details["names"] == ["ROC-AUC, mean over labels", "training.lr", "training.optimizer"]
    assert details["trials"]["5"] == ["complete", "0.9", "0.0001611", "adamw"]
    assert details["trials"]["4"][:2] == ["failed", "–"]


def test_the_axis_of_a_parameter_is_logarithmic_where_its_space_is(http, study):
    page = read(http, f"/studies/{study}")
    assert "ROC-AUC, mean over labels by logarithmic" in page
    assert "training.lr (logarithmic)" in page
    for tick in ("0.0001", "0.001", "0.01", "0.1"):
        assert f'text-anchor="middle">{tick}</text>' in page
    assert "training.optimizer (logarithmic)" not in page


def test_the_table_has_an_order_a_state_and_pages(http, db, study):
    with db.begin() as session:
        row = session.get_one(Study, study)
        for number in range(6, 40):
            make_trial(session, row, number, 0.1)

    def rows(query: str) -> list[int]:
        page = read(http, f"/studies/{study}{query}")
        return [int(number) for number in re.findall(r'<tr id="trial-(\d+)"', page)]

    assert rows("") == list(range(30))
    assert rows("?sort=-values.roc_auc_macro")[:3] == [5, 1, 3]
    assert rows("?state=failed") == [4]
    page = read(http, f"/studies/{study}?sort=-values.roc_auc_macro")
    turned = f"../studies/{study}?sort=values.roc_auc_macro#trials"
    assert f'aria-sort="descending" class="number"><a href="{turned}">' in page
    more = find(r'href="\.\./studies/[^"?]*([^"]*cursor=[^"]*)"', page).partition("#")[0]
    assert len(rows(more)) == 10
    assert "There is no such trial." in read(http, f"/studies/{study}?state=running")
    assert "no column" in read(http, f"/studies/{study}?sort=params.nothing", 422)


@pytest.mark.parametrize(("maximizes", "best"), [(True, [0, 4]), (False, [0, 1, 5])])
def test_the_best_so_far_are_better_than_all_before_them(db, maximizes, best):
    with db.begin() as session:
        row = make_study(session)
        for number, value in enumerate((0.5, 0.4, float("nan"), 0.5, 0.7, 0.1)):
            make_trial(session, row, number, value)
        make_trial(session, row, 6, None)
        make_trial(session, row, 7, None, **WAITING)
        outcomes = list_outcomes(session, row.id, 0, maximizes=maximizes, most=100)
    assert [each.number for each in outcomes] == list(range(7))
    assert [each.number for each in outcomes if each.is_best] == best


def test_thousands_of_trials_are_thinned_and_the_page_says_so(http, db):
    with db.begin() as session:
        row = make_study(session)
        session.add_all(
            Trial(
                study_id=row.id,
                number=number,
                state="complete",
                params={"training.lr": 0.01, "training.optimizer": "sgd"},
                values=[{1500: 2.0, 2999: 3.0}.get(number, 1 / (1 + number))],
            )
            for number in range(3000)
        )
    page = read(http, f"/studies/{row.id}")
    assert "show 200 of 3\u202f000 trials" in page
    assert page.count('<tr id="trial-') == 30
    shown = drawn(page, "complete")[0] + drawn(page, "best")[0]
    assert len(shown) == 200
    assert {0, 1500, 2999} <= set(shown)
    assert len(page.encode()) < 100_000


def test_a_pareto_front_and_pictures_by_each_objective(http, db):
    with db.begin() as session:
        row = make_study(session, config=TWO)
        for number, values in enumerate(([0.5, 1.0], [0.9, 9.0], [0.4, 2.0], [0.7, 3.0])):
            make_trial(session, row, number, 0.0, values=values)
        end(session, row)
    page = read(http, f"/studies/{row.id}")
    assert "<dt>Pareto front</dt><dd>3 trials</dd>" in page
    assert drawn(page, "best")[1] == [0, 3, 1]  # history before it
    assert "Train trial 0" in page
    assert "History: ROC-AUC" in page
    by_latency = read(http, f"/studies/{row.id}?objective=latency_ms")
    assert "History: Latency in ms" in by_latency
    assert "no objective" in read(http, f"/studies/{row.id}?objective=accuracy", 422)


def test_a_trial_has_its_curve_its_parameters_and_why_it_ended(http, db, study):
    with db.begin() as session:
        trial = session.query(Trial).filter_by(number=2).one()
        for epoch in (1, 2, 3):
            point = {"fold": None, "epoch": epoch, "train_loss": 1 / epoch, "validation_loss": 2 / epoch}
            measured = point | {"validation": {"f1_macro": 0.1 * epoch}}
            session.add(Epoch(run_id=trial.id, fold=0, epoch=epoch, metrics=measured))
    page = read(http, f"/studies/{study}/trials/2")
    assert "Ended after epoch 3: too high a loss." in page
    assert page.count('<path class="line-') == 3 + 3  # lines, and their keys in the legends
    assert "<dt>training.optimizer</dt><dd>sgd</dd>" in page
    assert ">Train this one</button>" not in page
    assert 'trials/1">' in page
    assert 'trials/3">' in page
    assert ">Train this one</button>" in read(http, f"/studies/{study}/trials/3")
    assert "The loss is &lt;nan&gt;." in read(http, f"/studies/{study}/trials/4")
    read(http, f"/studies/{study}/trials/60", 404)


@pytest.fixture
def startable(db: SessionFactory, music: Any) -> SessionFactory:
    with db.begin() as session:
        make_library(session, name="home", path=str(music))
        make_model(session, artifact_url="file:///models/musicnn-msd-1")
    return db


def text_of(page: str) -> str:
    return find(r"<textarea[^>]*>(.*?)</textarea>", page)


def test_the_example_and_a_copy_of_a_study_can_be_started(http, startable):
    example = text_of(read(http, "/studies/new"))
    assert "library: home" in example
    first = http.post("/studies", data={"text": example, "once": "a"}, headers=HTML)
    assert first.status_code == 303, first.text
    assert first.headers["location"].startswith("./studies/")
    again = http.post("/studies", data={"text": example, "once": "a"}, headers=HTML)
    assert again.headers["location"] == first.headers["location"]
    like = first.headers["location"].rpartition("/")[2]
    copy = text_of(read(http, f"/studies/new?like={like}"))
    assert http.post("/studies", data={"text": copy}, headers=HTML).status_code == 303


@pytest.mark.parametrize("text", ["", "a: [", "study_name: x\nspace: {}", 'a: "\\0"', "a: &a [*a]", "1: 2"])
def test_a_wrong_study_is_shown_again_with_the_reason(http, text):
    answer = http.post("/studies", data={"text": text}, headers=HTML)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert "<textarea" in answer.text


def test_a_study_is_resumed_cancelled_and_its_best_is_trained(http, startable):
    text = json.dumps(STUDY)
    address = http.post("/studies", data={"text": text}, headers=HTML).headers["location"].removeprefix(".")
    study_id = address.rpartition("/")[2]
    at_work = http.post(f"{address}/resume", data={"n_trials": "3"}, headers=HTML)
    assert at_work.status_code == 409
    assert "still running" in at_work.text
    assert f'href="../../studies/{study_id}?sort=-number#trials"' in at_work.text
    assert "No trial of this study is complete yet" in http.post(f"{address}/train", headers=HTML).text
    assert http.post(f"{address}/cancel", headers=HTML).headers["location"] == f"../../studies/{study_id}"
    for wrong in ("", "0", "x", "10001"):
        refused = http.post(f"{address}/resume", data={"n_trials": wrong}, headers=HTML)
        assert (refused.status_code, "from 1 to 10000" in refused.text) == (422, True)
    with startable.begin() as session:
        trial = session.query(Trial).filter_by(number=0).one()
        trial.state, trial.values, trial.params = "complete", [0.5], {"training.lr": 0.01}
        job = session.get_one(Job, study_id)
        assert job.state in (JobState.CANCELLING, JobState.CANCELLED)
        job.state = JobState.CANCELLED  # as the dispatcher does once its units have ended
    assert http.post(f"{address}/resume", data={"n_trials": "3"}, headers=HTML).status_code == 303
    run = http.post(f"{address}/train", data={"trial": "0"}, headers=HTML)
    assert run.status_code == 303, run.text
    assert run.headers["location"].startswith("../../training/")
    assert "Run of mine" in read(http, run.headers["location"].removeprefix("../.."))


def test_readers_see_studies_and_change_none(keyed_http, db, study):
    with db.begin() as session:
        _, reader = make_api_key(session, "read")
        _, writer = make_api_key(session, "write")
    page = read(keyed_http, f"/studies/{study}", secret=reader)
    assert "Parallel coordinates" in page
    for button in ("Train the best<", "Resume<", "Cancel<", "Start another like it<"):
        assert button not in page
    assert "Start a study" not in read(keyed_http, "/studies", secret=reader)
    assert "Train this one" not in read(keyed_http, f"/studies/{study}/trials/5", secret=reader)
    read(keyed_http, "/studies/new", 403, secret=reader)
    # The job of another key cannot be seen, so neither its progress nor how to cancel it.
    assert f"jobs/{study}" not in read(keyed_http, f"/studies/{study}", secret=writer)
