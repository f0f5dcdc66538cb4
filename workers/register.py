"""Registers every model in the data folder: `python -m workers.register [FOLDER]`.

Models in FOLDER, such as those of a container image, are installed first.
"""

import logging
import sys
from pathlib import Path

from sqlalchemy.orm import Session

from core.errors import InvalidConfig, ModelBeingDeleted
from core.logs import configure_logging
from core.settings import get_settings
from core.store.registry import register_artifact
from core.store.session import create_database_engine, create_session_factory, transaction
from core.store.tables import Model

log = logging.getLogger("workers.register")


def main() -> None:
    settings = get_settings()
    configure_logging(settings)
    if len(sys.argv) > 1:
        install_all(Path(sys.argv[1]), settings.models_dir)
    sessions = create_session_factory(create_database_engine(settings.database_url))
    folders = models_in(settings.models_dir)
    with transaction(sessions) as session:
        models = [model for folder in folders if (model := register(session, folder)) is not None]
    log.info("models: %s", ", ".join(model.reference for model in models) or "none")


def register(session: Session, folder: Path) -> Model | None:
    """Register a model; None if its name is reserved, or it was deleted and its folder is still there."""
    try:
        with session.begin_nested():
            return register_artifact(session, folder)
    except (InvalidConfig, ModelBeingDeleted) as error:
        log.warning("%s is not registered: %s", folder, error)
        return None


def models_in(folder: Path) -> list[Path]:
    return sorted(card.parent for card in folder.glob("[!.]*/model.json"))


def install_all(source: Path, target: Path) -> None:
    from workers.install import install  # loads torch, which takes seconds

    target.mkdir(parents=True, exist_ok=True)
    for folder in models_in(source):
        install(folder, target / folder.name)


if __name__ == "__main__":
    main()
