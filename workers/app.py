"""Start of a Celery worker: `celery -A workers.app worker -Q plan,batch`."""

import logging

from core.queue import make_celery
from core.settings import get_settings

logging.basicConfig(level=get_settings().log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")

app = make_celery(get_settings())
app.set_default()

from workers import presence, tasks  # noqa: E402, F401 (both hook into the app made above)
