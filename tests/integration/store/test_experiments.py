"""Runs: versions that are given once, epochs that are written once, runs side by side."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.errors import ArtifactNotFound, ExperimentNotFound, Invalid, RunNotFound
from core.jobs.claims import Claim, claim_unit
from core.ml.models.artifact import CARD_FILE
from core.ml.training import records
from core.ml.training.predictions_file import PREDICTIONS_FILE
from core.services.changes import delete_run
from core.services.runs import record_epochs
from core.store import experiments as service
from core.store.base import Base
from core.store.experiments import ARTIFACTS
from core.store.tables import Experiment, Job, JobUnit, Study, Trial
from tests.support.builders import make_model, make_run
from tests.support.planned import LEASE_S


def reports(
    *epochs: int, fold: int | None = None, folds: int | None = None, loss: float = 1.0
) -> list[dict[str, Any]]:
    shape = {"folds": folds, "epochs": 10, "fold": fold}
    return [{"epoch": epoch, "train_loss": loss} | shape for epoch in epochs]


@pytest.fixture
def claimed(session: Session) -> Claim:
    """The unit of a training job."""
    run = make_run(session)
    unit_id = session.scalars(select(JobUnit.id)).one()
    claim = claim_unit(session, unit_id, "task", LEASE_S)
    assert claim is not None
    assert claim.job_id == run.id
    return claim


def test_a_run_keeps_its_version_and_no_other_gets_it(session):
    make_model(session, name="mine", version=3)
    first, second = make_run(session, "mine"), make_run(session, "mine")
    assert [service.take_version(session, run.id) for run in (first, second, first)] == [4, 5, 4]
    assert service.take_version(session, make_run(session, "other").id) == 1


def test_epochs_are_written_once_however_often_they_are_reported(session, claimed):
    unit, run_id = session.get_one(JobUnit, claimed.unit_id), claimed.job_id
    record_epochs(session, claimed, run_id, reports(1, 2, 3), counted=True)
    again = reports(2, 3, 4, loss=0.5) + reports(1, fold=1)
    record_epochs(session, claimed, run_id, again, counted=True)
    session.refresh(unit)
    found = service.list_epochs(session, [run_id])[run_id]
    assert [(each.fold, each.epoch) for each in found] == [(1, 1), (0, 1), (0, 2), (0, 3), (0, 4)]
    assert [each.metrics["train_loss"] for each in found[1:]] == [1.0, 0.5, 0.5, 0.5]
    assert (unit.done, unit.crash_count) == (5, 0)


def test_the_total_of_a_job_counts_no_epochs_that_ended_fits_have_left_out(session, claimed):
    job, found = session.get_one(Job, claimed.job_id), []
    of_final = [report | {"epochs": 2} for report in reports(1, 2)]
    for new in (
        reports(1, fold=1, folds=2),
        reports(2, 3, fold=1, folds=2),
        reports(1, fold=2, folds=2),
        of_final,
    ):
        record_epochs(session, claimed, claimed.job_id, new, counted=True)
        found.append(job.total)
    assert found == [30, 30, 3 + 20, 4 + 2]


@pytest.mark.parametrize("counted", [True, False])
def test_only_a_new_epoch_forgets_the_crashes_before_it(session, claimed, counted):
    unit, run_id = session.get_one(JobUnit, claimed.unit_id), claimed.job_id

    found = []
    for epochs in ((1, 2), (2,), (), (2, 3)):
        unit.crash_count = 3
        session.flush()
        record_epochs(session, claimed, run_id, reports(*epochs), counted=counted)
        session.refresh(unit)
        found.append(unit.crash_count)
    assert found == [0, 3, 3, 0]
    assert unit.done == (3 if counted else 0)


def test_trials_are_runs_of_their_study_and_of_no_experiment(session):
    run = make_run(session, "mine")
    study = Study(name="mine", config={})
    session.add(study)
    session.flush()
    trial = Trial(study_id=study.id, number=0)
    session.add(trial)
    session.flush()
    points = [
        {"epoch": epoch, "fold": None, "validation_loss": loss} for epoch, loss in ((1, 0.5), (2, None))
    ]
    service.save_epochs(session, trial.id, points)
    service.save_epochs(session, run.id, points)
    assert service.list_losses(session, study.id) == {trial.id: {1: 0.5}}
    assert service.list_losses(session, study.id, [2]) == {}
    assert [row.run.id for row in service.list_runs(session, None, 9).items] == [run.id]
    assert service.get_experiment(session, "mine")[1] == 1
    with pytest.raises(RunNotFound):
        service.get_run(session, trial.id)
    with pytest.raises(RunNotFound):
        delete_run(session, trial.id)
    assert session.scalars(select(Trial)).all() == [trial]


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"number": 0},
        {"study": True},
        {"study": True, "number": 0, "state": "waiting", "experiment": True, "config": {}, "seed": 0},
        {"experiment": True, "seed": 0},
        {"experiment": True, "config": {}, "seed": 0, "state": "waiting"},
    ],
)
def test_the_database_refuses_a_run_that_is_neither_or_both(session, columns):
    study, experiment = Study(name="mine", config={}), Experiment(name="mine")
    session.add_all([study, experiment])
    session.flush()
    owners = {"study": ("study_id", study.id), "experiment": ("experiment_id", experiment.id)}
    values: dict[str, Any] = dict(owners.get(name, (name, value)) for name, value in columns.items())
    with pytest.raises(IntegrityError):
        session.execute(insert(Base.metadata.tables["runs"]).values(id=uuid4(), **values))


def test_runs_are_listed_newest_first_and_page_by_page(session):
    runs = [make_run(session, "mine") for _ in range(3)]
    make_run(session, "other")
    page = service.list_runs(session, None, 2, "mine")
    rest = service.list_runs(session, page.next_cursor, 2, "mine")
    listed = [row.run.id for row in (*page.items, *rest.items)]
    assert sorted(listed) == sorted(run.id for run in runs)
    assert [(row.name, count) for row, count in service.list_experiments(session)] == [
        ("mine", 3),
        ("other", 1),
    ]
    with pytest.raises(ExperimentNotFound):
        service.list_runs(session, None, 2, "nope")


def test_runs_are_compared_by_what_they_reached_and_where_they_differ(session):
    first = make_run(session, config={"training": {"lr": 0.1, "epochs": 5}}, metrics={"f1": 0.5, "roc": 0.9})
    second = make_run(session, config={"training": {"lr": 0.2, "epochs": 5}, "seed": 1}, metrics={"f1": 0.6})
    found = service.compare_runs(session, [first.id, second.id])
    assert found.metrics == {"f1": [0.5, 0.6], "roc": [0.9, None]}
    assert found.differences == {"training.lr": [0.1, 0.2], "seed": [None, 1]}
    for wrong in ([], [first.id] * 21):
        with pytest.raises(Invalid):
            service.compare_runs(session, wrong)
    with pytest.raises(RunNotFound):
        service.compare_runs(session, [first.id, uuid4()])


def test_only_listed_files_of_a_finished_run_are_found(session, tmp_path):
    for name in ("history.json", "model.safetensors"):
        (tmp_path / name).write_bytes(b"{}")
    model = make_model(session, artifact_url=tmp_path.as_uri())
    finished, unfinished = make_run(session, model_id=model.id), make_run(session)
    assert service.read_artifact(session, finished.id, "history.json") == b"{}"
    listed = [service.list_artifacts(service.get_run(session, each.id)) for each in (finished, unfinished)]
    assert listed == [["history.json"], []]
    wrong: list[tuple[UUID, str]] = [
        (finished.id, "model.safetensors"),
        (finished.id, "MODEL_CARD.md"),  # deleted
        (finished.id, "../history.json"),
        (unfinished.id, "history.json"),
    ]
    for run_id, name in wrong:
        with pytest.raises(ArtifactNotFound):
            service.read_artifact(session, run_id, name)


def test_the_files_that_may_be_read_are_those_that_a_training_leaves():
    left = {
        records.HISTORY_FILE,
        records.RESULTS_FILE,
        records.CURVES_FILE,
        records.CO_OCCURRENCE_FILE,
        records.README_FILE,
        PREDICTIONS_FILE,
        records.SCORE_COUNTS_FILE,
        CARD_FILE,
    }
    assert set(ARTIFACTS) == left


def test_a_run_outlives_its_job(session):
    run = make_run(session)
    session.delete(session.get_one(Job, run.id))
    session.flush()
    session.refresh(run)
    assert (run.job_id, service.get_run(session, run.id).state) == (None, None)
