"""Registers every model folder under the data folder: `python -m workers.register`."""

import sys

from core.db.session import create_database_engine, create_session_factory, transaction
from core.services.registry import register_artifact
from core.settings import get_settings


def main() -> None:
    settings = get_settings()
    sessions = create_session_factory(create_database_engine(settings.database_url))
    folders = sorted(card.parent for card in settings.models_dir.glob("[!.]*/model.json"))
    with transaction(sessions) as session:
        models = [register_artifact(session, folder) for folder in folders]
    sys.stdout.write(f"models: {', '.join(f'{model.name}@{model.version}' for model in models) or 'none'}\n")


if __name__ == "__main__":
    main()
