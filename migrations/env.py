"""Runs migrations against `MFA_DATABASE_URL`."""

from alembic import context
from sqlalchemy import text
from sqlalchemy.schema import SchemaItem

from core.logs import configure_logging
from core.settings import get_settings
from core.store import tables
from core.store.registry import EMBEDDING_INDEX_PREFIX
from core.store.session import create_database_engine


def include_object(
    _item: SchemaItem, name: str | None, kind: str, _reflected: bool, _compare_to: SchemaItem | None
) -> bool:
    """The index of a model's embeddings comes with the model, not with a migration."""
    return not (kind == "index" and name is not None and name.startswith(EMBEDDING_INDEX_PREFIX))


def run() -> None:
    url = context.config.attributes.get("url") or get_settings().database_url
    configure_logging(get_settings())
    engine = create_database_engine(url)
    with engine.connect() as connection:
        context.configure(
            connection=connection, target_metadata=tables.Job.metadata, include_object=include_object
        )
        with context.begin_transaction():
            # Building the index of a large table takes long; only waiting for locks stays bounded.
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            context.run_migrations()
    engine.dispose()


run()
