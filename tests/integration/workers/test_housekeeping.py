"""What the dispatcher does beside dispatching: it sends heartbeats, and deletes what is old."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text

from core.jobs.workers import DISPATCHER, count_workers, is_alive
from core.services.retraining import retrain_if_due, set_up
from core.settings import PROJECT, Settings
from core.states import JobState
from core.store.session import SessionFactory, transaction
from core.store.tables import Job, Retraining, Worker
from tests.integration.services.test_retraining import make_served, say
from tests.support.builders import make_job, make_model, make_worker
from workers import dispatcher as dispatcher_module
from workers.dispatcher import Dispatcher


@pytest.fixture
def dispatcher(
    database_url: str, broker_url: str, tmp_path: Path, clean_database: SessionFactory
) -> Iterator[Dispatcher]:
    settings = Settings(
        database_url=database_url, broker_url=broker_url, data_dir=tmp_path, keep_jobs_days=30
    )
    made = Dispatcher(settings)
    yield made
    made.close()


def names(sessions: SessionFactory) -> list[str]:
    with sessions() as session:
        return list(session.scalars(select(Worker.name)))


def test_a_dispatcher_has_a_heartbeat_and_is_not_counted_as_a_worker(dispatcher, clean_database):
    dispatcher.send_heartbeat()
    assert names(clean_database) == [dispatcher.name]
    with clean_database() as session:
        assert is_alive(session, DISPATCHER)
        assert count_workers(session) == 0
        session.execute(text("UPDATE workers SET beat_at = now() - interval '31 s'"))
        assert not is_alive(session, DISPATCHER)
    dispatcher.send_heartbeat()  # it has just done so: not every round is worth a write
    dispatcher.sign_off()
    assert names(clean_database) == []


def test_five_hundred_old_predictions_are_gone_after_five_sweeps(dispatcher, clean_database, monkeypatch):
    with transaction(clean_database) as session:
        for number in range(501):
            ended = text(f"now() - interval '{31 if number else 29} days'")
            unit = {"state": "done"}
            make_job(session, kind="predict", state=JobState.SUCCEEDED, finished_at=ended, unit=unit)

    def left() -> int:
        with clean_database() as session:
            return len(session.scalars(select(Job.id)).all())

    monkeypatch.setattr(dispatcher_module, "DELETE_FOR_S", 0)
    dispatcher.sweep()
    assert left() == 401  # however slow the machine is
    for _ in range(4):
        dispatcher.sweep()
    assert left() == 1
    dispatcher.keep_jobs_days = 0  # for ever
    with transaction(clean_database) as session:
        session.execute(text("UPDATE jobs SET finished_at = '2000-01-01'"))
    dispatcher.sweep()
    assert left() == 1


def test_a_sweep_goes_on_deleting_while_it_has_time(dispatcher, clean_database, monkeypatch):
    monkeypatch.setattr(dispatcher_module, "DELETE_FOR_S", 60)
    with transaction(clean_database) as session:
        for _ in range(201):
            ended = text("now() - interval '31 days'")
            make_job(session, state=JobState.SUCCEEDED, finished_at=ended, unit={"state": "done"})
    dispatcher.sweep()
    with clean_database() as session:
        assert session.scalars(select(Job.id)).all() == []


def test_what_dead_writers_left_is_swept_when_nobody_needs_it(dispatcher, clean_database, tmp_path):
    with transaction(clean_database) as session:
        done = {"state": "done"}
        jobs = {
            "open": make_job(session, kind="tuning", state=JobState.RUNNING).id,
            "tuning": make_job(session, kind="tuning", state=JobState.CANCELLED, unit=done).id,
            "training": make_job(session, kind="training", state=JobState.CANCELLED, unit=done).id,
        }
    gone = [f"training/{jobs['tuning']}", "training/tmpx1", "models/.mine-2", "models/.mine-1-ab"]
    kept = [f"training/{jobs['open']}", f"training/{jobs['training']}", "training/notes", "models/mine-1"]
    for name in (*gone, *kept):
        (tmp_path / name / "model").mkdir(parents=True)
    (tmp_path / "models/.fresh").mkdir()
    for name in (*gone, *kept):
        os.utime(tmp_path / name, (time.time() - 3700,) * 2)
    dispatcher.sweep()
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")}
    assert left == {*kept, "models/.fresh"}
    os.utime(tmp_path / f"training/{jobs['training']}", (time.time() - 8 * 24 * 3600,) * 2)
    dispatcher.sweep()
    assert not (tmp_path / f"training/{jobs['training']}").exists()


def test_a_model_is_trained_again_once_enough_tracks_are_corrected(dispatcher, clean_database):
    with transaction(clean_database) as session:
        make_served(session)
        set_up(session, "mine", 2, None, "me")
    dispatcher.retrain()
    with transaction(clean_database) as session:
        say(session, 0, 1)
    for _ in range(2):
        dispatcher.retrain()
    with clean_database() as session:
        retraining = session.get_one(Retraining, "mine")
        jobs = session.scalars(select(Job.id).where(Job.params.has_key("compare_with"))).all()
    assert jobs == [retraining.job_id]


def test_a_container_is_healthy_while_its_own_worker_sends_heartbeats(clean_database, database_url):
    def check() -> subprocess.CompletedProcess[str]:
        environment = {"MFA_DATABASE_URL": database_url, "PYTHONPATH": str(PROJECT)}
        argv = (sys.executable, "-m", "workers.health")
        return subprocess.run(argv, env=environment, cwd=PROJECT, capture_output=True, text=True)

    with transaction(clean_database) as session:
        make_worker(session, "batch", name="batch@elsewhere")
    silent = check()
    assert (silent.returncode, len(silent.stderr.splitlines())) == (1, 1)
    with transaction(clean_database) as session:
        make_worker(session, "batch", name=f"batch@{socket.gethostname()}")
    assert check().returncode == 0


def test_a_retraining_that_fails_keeps_no_other_from_being_trained(dispatcher, clean_database, monkeypatch):
    with transaction(clean_database) as session:
        make_served(session)
        make_model(session, name="aaa", sha256="1" * 64)  # comes first
        set_up(session, "aaa", 1, None, "me")
        set_up(session, "mine", 1, None, "me")
    reached = []

    def fail(session, name, data_dir):
        reached.append(name)
        if name == "aaa":
            raise RuntimeError("broken")
        return retrain_if_due(session, name, data_dir)

    with monkeypatch.context() as patch:
        patch.setattr(dispatcher_module, "retrain_if_due", fail)
        dispatcher.retrain()
    assert reached == ["aaa", "mine"]
    with clean_database() as session:
        assert session.get_one(Retraining, "aaa").error_code == "internal"
    dispatcher.retrain()
    with clean_database() as session:
        assert session.get_one(Retraining, "aaa").error_code is None
