"""`make migration` writes a draft that brings a database to what the tables in the code say."""

import shutil
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import create_engine, text

from core.settings import PROJECT
from migrations.new import write_migration
from tests.conftest import alembic_config, create_database


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(PROJECT / "migrations", tmp_path / "migrations", ignore=ignored))


def test_the_draft_has_what_the_migrations_lack(postgres_url: str, migrations: Path) -> None:
    url = create_database(postgres_url, "drafted")
    config = alembic_config(url)
    config.set_main_option("script_location", str(migrations))
    command.upgrade(config, "head")
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE jobs DROP COLUMN error_detail"))
    engine.dispose()

    newest = max(path.name[:4] for path in (migrations / "versions").glob("*.py"))
    written = write_migration("give back", url, migrations)

    assert written.name == f"{int(newest) + 1:04}_give_back.py"
    draft = written.read_text()
    assert f"down_revision = '{newest}'" in draft
    assert "op.add_column('jobs', sa.Column('error_detail'" in draft
    command.upgrade(config, "head")
    command.check(config)
