"""Start of a Celery worker: `celery -A workers.app worker -Q plan,batch`."""

from typing import Any

from celery import signals

from core.queue import make_celery
from core.settings import get_settings
from workers.logs import configure_logging

app = make_celery(get_settings())
app.set_default()


@signals.setup_logging.connect
def _setup_logging(**_: Any) -> None:
    """In the parent and in each child; being connected keeps Celery from setting up its own."""
    configure_logging()


from workers import presence, tasks  # noqa: E402, F401 (both hook into the app made above)
