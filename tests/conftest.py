"""Fixtures for every test: the embedded servers, started once per run."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.orm import Session
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from core.local import SERVERS_ONLY, Stack, local_stack
from core.services.kinds import register_kinds
from core.settings import PROJECT, Settings
from core.store.base import Base
from core.store.registry import EMBEDDING_INDEX_PREFIX
from core.store.session import SessionFactory, create_database_engine, create_session_factory, transaction

SHARED = ("tests/browser/", "tests/e2e/")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--bad-files", type=int, default=40, help="how many ruined files, among twice as many good ones"
    )
    parser.addoption("--trials", type=int, default=12, help="of each study that runs from end to end")
    parser.addoption("--faults-scale", choices=("ci", "full"), default="ci", help="of the run of all faults")
    parser.addoption("--faults-seed", type=int, default=1, help="of the run of all faults")
    parser.addoption(
        "--random-lives",
        type=int,
        default=0,
        help="how many lives of jobs to make up anew (with --timeout=0)",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Torch calculates with one thread, also in processes that tests start: several processes with as many
    threads as there are cores spend most of their time waiting for each other.

    Temporary files lie in a folder of this run: every other pytest that starts closes the usual one to other
    users, and Postgres and some workers are such.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    register_kinds()
    if config.option.basetemp is None:
        config.option.basetemp = tempfile.mkdtemp(prefix="mfa-pytest-")
        config.add_cleanup(lambda: shutil.rmtree(config.option.basetemp, ignore_errors=True))


class SharedStacks(LoadFileScheduling):  # type: ignore[misc]
    """Gives one process all tests that share a whole stack or a browser, and the others by file."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return next((folder for folder in SHARED if file.startswith(folder)), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> SharedStacks:
    return SharedStacks(config, log)


def stack_settings(data_dir: Path, port: int = 8000) -> Settings:
    """Settings of a stack with embedded servers, whatever the environment says."""
    return Settings(database_url="", broker_url="", data_dir=data_dir, host="127.0.0.1", port=port)


@pytest.fixture(scope="session")
def servers() -> Iterator[Stack]:
    """Embedded Postgres and Valkey; they end with this process, however that ends."""
    with (
        tempfile.TemporaryDirectory(prefix="mfa-tests-") as folder,
        local_stack(stack_settings(Path(folder)), SERVERS_ONLY) as stack,
    ):
        yield stack


@pytest.fixture(scope="session")
def postgres_url(servers: Stack) -> str:
    """SQLAlchemy address of an empty embedded Postgres; its user may create databases and extensions."""
    return servers.database_url


@pytest.fixture(scope="session")
def broker_url(servers: Stack) -> str:
    """Address of an empty embedded Valkey."""
    return servers.broker_url


def create_database(server_url: str, name: str) -> str:
    """The address of a new, empty database of a server."""
    server = create_engine(server_url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    server.dispose()
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


def alembic_config(url: str) -> Config:
    """What Alembic's commands need to work on the database at `url`."""
    config = Config(str(PROJECT / "alembic.ini"), attributes={"url": url})
    config.set_main_option("script_location", str(PROJECT / "migrations"))
    return config


@pytest.fixture(scope="session")
def database_url(postgres_url: str) -> str:
    """Address of a database with every migration applied, made once per run."""
    url = create_database(postgres_url, "migrated")
    command.upgrade(alembic_config(url), "head")
    return url


@pytest.fixture(scope="session")
def sessions(database_url: str) -> Iterator[SessionFactory]:
    """Sessions of the migrated database that commit for real; see `clean_database`."""
    engine = create_database_engine(database_url, pool_size=20)
    yield create_session_factory(engine)
    engine.dispose()


@pytest.fixture
def session(sessions: SessionFactory) -> Iterator[Session]:
    """A session whose commits are savepoints: whatever a test writes is rolled back after it."""
    with sessions.kw["bind"].connect() as connection:
        outer = connection.begin()
        with sessions(bind=connection, join_transaction_mode="create_savepoint") as session:
            yield session
        outer.rollback()


@pytest.fixture
def clean_database(sessions: SessionFactory) -> Iterator[SessionFactory]:
    """For tests that need real commits, not together with `session`: tables empty, also after it."""
    yield sessions
    _empty(sessions)


def _empty(sessions: SessionFactory) -> None:
    """Deleting a few rows takes milliseconds; truncating makes every table a new file."""
    tables = reversed(Base.metadata.sorted_tables)
    with transaction(sessions) as session:
        session.execute(text(";".join(f"DELETE FROM {table.name}" for table in tables)))
        indexes = text("SELECT indexname FROM pg_indexes WHERE starts_with(indexname, :prefix)")
        for index in session.scalars(indexes, {"prefix": EMBEDDING_INDEX_PREFIX}).all():
            session.execute(text(f"DROP INDEX {index}"))
