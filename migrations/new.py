"""A draft of a migration, with what the tables in the code have and the migrations lack.

    python -m migrations.new NAME

Compares the two on an embedded Postgres of its own, which is gone afterwards.
"""

import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from core.local import SERVERS_ONLY, local_stack
from core.settings import PROJECT, Settings


def write_migration(name: str, database_url: str, folder: Path) -> Path:
    """A new file in `folder`/versions, whose revision is the number after the newest.

    The database is brought to the newest migration first.
    """
    config = Config(attributes={"url": database_url})
    config.set_main_option("script_location", str(folder))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.set_main_option("path_separator", "os")
    newest = ScriptDirectory.from_config(config).get_current_head()
    revision = f"{int(newest or 0) + 1:04}"
    command.upgrade(config, "head")
    command.revision(config, name, autogenerate=True, rev_id=revision)
    (written,) = (folder / "versions").glob(f"{revision}_*.py")
    return written


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit("Usage: python -m migrations.new NAME")
    with tempfile.TemporaryDirectory(prefix="mfa-migration-") as data:
        settings = Settings(database_url="", broker_url="", data_dir=Path(data))
        with local_stack(settings, SERVERS_ONLY) as stack:
            written = write_migration(sys.argv[1], stack.database_url, PROJECT / "migrations")
    sys.stdout.write(f"{written.relative_to(PROJECT)}\n")


if __name__ == "__main__":
    main()
