"""The migrations build what the tables say, and can be taken back."""

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect, text

from core.db.session import create_database_engine, create_session_factory, transaction
from core.services.registry import EMBEDDING_INDEX_PREFIX
from tests.conftest import alembic_config, create_database


@pytest.fixture(scope="module")
def url(postgres_url: str) -> str:
    """Address of a database of its own, empty."""
    return create_database(postgres_url, "migrations")


@pytest.fixture
def config(url: str) -> Config:
    return alembic_config(url)


def tables_of(url: str) -> set[str]:
    engine = create_engine(url)
    names = set(inspect(engine).get_table_names())
    engine.dispose()
    return names


def functions_of(url: str) -> list[str]:
    engine = create_engine(url)
    with engine.connect() as connection:
        query = "SELECT proname FROM pg_proc WHERE proname = 'check_transition'"
        names = list(connection.scalars(text(query)))
    engine.dispose()
    return names


def test_the_migrations_go_up_down_and_up_again(url, config):
    command.upgrade(config, "head")
    command.check(config)  # raises when the tables in the code say something else
    assert "job_units" in tables_of(url)
    command.downgrade(config, "base")
    assert tables_of(url) == {"alembic_version"}
    assert functions_of(url) == []
    command.upgrade(config, "head")
    command.check(config)


def test_the_index_that_comes_with_a_model_is_no_difference(url, config):
    command.upgrade(config, "head")
    engine = create_database_engine(url)
    with transaction(create_session_factory(engine)) as session:
        session.execute(
            text(
                f"CREATE INDEX {EMBEDDING_INDEX_PREFIX}1 ON predictions "
                "USING hnsw ((embedding::vector(3)) vector_cosine_ops) WHERE model_id = 1"
            )
        )
    engine.dispose()
    command.check(config)
