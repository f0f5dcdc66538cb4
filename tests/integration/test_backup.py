"""A dump and the folder of models are a whole backup: what was at work goes on after a restore."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from alembic import command
from redis import Redis
from sqlalchemy import func, select, text

from core.errors import LeaseLost
from core.jobs.claims import Claim
from core.jobs.dispatch import take_ready
from core.local.postgres import binaries
from core.settings import PROJECT, Settings, get_settings
from core.states import TERMINAL_JOB_STATES, JobState
from core.store.registry import EMBEDDING_INDEX_PREFIX, register_artifact
from core.store.session import SessionFactory, create_database_engine, create_session_factory, transaction
from core.store.tables import Job, JobUnit, Model, Prediction
from tests.conftest import alembic_config, create_database
from tests.support.builders import make_analysed_track, make_finished_job, make_library
from tests.support.planned import claim, counters, expire, finish, make_due, plan_job, read_job, record
from workers.dispatcher import Dispatcher

BROKER_DATABASE = 10


@dataclass
class Server:
    """A database with the folders and the broker that belong to it."""

    settings: Settings
    sessions: SessionFactory


@pytest.fixture
def servers_in(postgres_url: str, broker_url: str, tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    """The one that is backed up, migrated, and an empty one to restore it in."""
    made = []
    broker = broker_url.rpartition("/")[0] + f"/{BROKER_DATABASE}"
    for name in ("before", "after"):
        url = create_database(postgres_url, f"backup-{name}")
        settings = Settings(database_url=url, broker_url=broker, data_dir=tmp_path / name)
        settings.models_dir.mkdir(parents=True)
        made.append(Server(settings, create_session_factory(create_database_engine(url))))
    command.upgrade(alembic_config(made[0].settings.database_url), "head")
    with Redis.from_url(broker) as redis:
        redis.flushdb()
        yield made[0], made[1]
        redis.flushdb()
    for server in made:
        server.sessions.kw["bind"].dispose()


def address(server: Server) -> str:
    return server.settings.database_url.replace("+psycopg", "")


def back_up(server: Server, folder: Path) -> None:
    """As docs/DEPLOYMENT.md tells: the database first, as a model is in its folder before it is in a row."""
    dump = ("--format=custom", f"--file={folder / 'mfa.dump'}", address(server))
    subprocess.run((str(binaries() / "pg_dump"), *dump), check=True)
    shutil.copytree(server.settings.models_dir, folder / "models")


def restore(server: Server, folder: Path) -> None:
    how = ("--no-owner", "--exit-on-error", f"--dbname={address(server)}")
    subprocess.run((str(binaries() / "pg_restore"), *how, str(folder / "mfa.dump")), check=True)
    shutil.copytree(folder / "models", server.settings.models_dir, dirs_exist_ok=True)
    environment = {"MFA_DATABASE_URL": server.settings.database_url, "PYTHONPATH": str(PROJECT)}
    environment["MFA_DATA_DIR"] = str(server.settings.data_dir)
    subprocess.run((sys.executable, "-m", "workers.register"), env=environment, cwd=PROJECT, check=True)


@pytest.mark.slow
def test_what_was_at_work_goes_on_after_a_restore(servers_in, tmp_path):
    before, after = servers_in
    shutil.copytree(get_settings().models_dir / "musicnn-msd-1", before.settings.models_dir / "musicnn-msd-1")
    with transaction(before.sessions) as session:
        model = register_artifact(session, before.settings.models_dir / "musicnn-msd-1")
        library = make_library(session, name="music")
        analysed = [
            make_analysed_track(session, library, model, f"{n}.mp3", scores=[0.5] * 50, embedding=[1.0] * 200)
            for n in range(3)
        ]
        ended = make_finished_job(session, library, model, analysed)
    planned = plan_job(before.sessions, 2, 2, 2, 2)
    done, running, published, _ = planned.unit_ids
    first = claim(before.sessions, done)
    record(before.sessions, first, [0, 1])
    finish(before.sessions, first)
    zombie = claim(before.sessions, running)
    record(before.sessions, zombie, [0])
    expire(before.sessions, running)  # longer ago than a lease lasts
    with transaction(before.sessions) as session:
        assert [bell.unit_id for bell in take_ready(session, "batch", 1)] == [published]

    backup = tmp_path / "backup"
    backup.mkdir()
    back_up(before, backup)
    restore(after, backup)

    with after.sessions() as session:
        assert session.scalar(select(func.count()).select_from(Prediction)) == 3
        (moved,) = session.scalars(select(Model))
        assert moved.artifact_url == (after.settings.models_dir / "musicnn-msd-1").as_uri()
        index = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
        assert session.scalar(index, {"name": f"{EMBEDDING_INDEX_PREFIX}{moved.encoder_id}"})
    assert read_job(after.sessions, ended.id).state == JobState.SUCCEEDED
    work_off(after)
    with after.sessions() as session:
        assert set(session.scalars(select(Job.state))) <= TERMINAL_JOB_STATES
        assert set(session.scalars(select(JobUnit.state))) == {"done"}
    assert read_job(after.sessions, planned.job_id).state == JobState.SUCCEEDED
    assert [counters(after.sessions, unit) for unit in planned.unit_ids] == [(2, 0, 0)] * 4
    assert_writes_nothing(after.sessions, zombie)


def work_off(server: Server) -> None:
    """What dispatcher and workers do, until nothing is left."""
    dispatcher = Dispatcher(server.settings)
    try:
        while True:
            dispatcher.tick()
            with server.sessions() as session:
                waiting = session.scalars(select(JobUnit.id).where(JobUnit.state == "dispatched")).all()
            if not waiting:
                return
            for unit_id in waiting:
                make_due(server.sessions, unit_id)
                held = claim(server.sessions, unit_id)
                record(server.sessions, held, [0, 1])
                finish(server.sessions, held)
    finally:
        dispatcher.close()


def assert_writes_nothing(sessions: SessionFactory, zombie: Claim) -> None:
    """A worker that does not know that its database is another one now."""
    with pytest.raises(LeaseLost):
        record(sessions, zombie, [1])
