"""Log lines of the workers and the dispatcher."""

import logging

from core.settings import get_settings


def configure_logging() -> None:
    logging.basicConfig(
        level=get_settings().log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True
    )
