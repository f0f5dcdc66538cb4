"""Start of a Celery worker: `celery -A workers.app worker -Q plan,batch`."""

import os
from typing import Any

from celery import signals

from core.jobs.queue import make_celery
from core.logs import configure_logging
from core.services.kinds import register_kinds
from core.settings import get_settings

CHILD_NICENESS = 5

register_kinds()
app = make_celery(get_settings())
app.set_default()


@signals.setup_logging.connect
def _setup_logging(**_: Any) -> None:
    """In the parent and in each child; being connected keeps Celery from setting up its own."""
    configure_logging(get_settings(), force=True)


@signals.worker_process_init.connect
def _lower_priority(**_: Any) -> None:
    """The gateway stays responsive while every core is busy."""
    os.nice(CHILD_NICENESS)


from workers import heartbeat, liveness, tasks  # noqa: E402, F401 (they hook into the app made above)
