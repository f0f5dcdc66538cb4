"""Fixtures for every test: the embedded servers, started once per run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.local_stack import SERVERS_ONLY, Stack, local_stack
from core.settings import Settings


def stack_settings(data_dir: Path, port: int = 8000) -> Settings:
    """Settings of a stack with embedded servers, whatever the environment says."""
    return Settings(database_url="", broker_url="", data_dir=data_dir, host="127.0.0.1", port=port)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Embedded Postgres and Valkey; they end with this process, however that ends."""
    with local_stack(stack_settings(tmp_path_factory.mktemp("servers")), SERVERS_ONLY) as stack:
        yield stack


@pytest.fixture(scope="session")
def postgres_url(servers: Stack) -> str:
    """SQLAlchemy address of an empty embedded Postgres; its user may create databases and extensions."""
    return servers.database_url


@pytest.fixture(scope="session")
def broker_url(servers: Stack) -> str:
    """Address of an empty embedded Valkey."""
    return servers.broker_url
