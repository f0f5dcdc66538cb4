"""What the server still waits for before it can do its work, in sentences."""

from sqlalchemy.orm import Session

from core.errors import Unavailable
from core.jobs.kinds import serving_queues
from core.jobs.queue import ping
from core.jobs.space import shortage_of
from core.jobs.workers import DISPATCHER, is_alive, slots_by_queue
from core.services.monitoring import is_migrated
from core.settings import Settings


def missing_in_database(session: Session) -> list[str]:
    """Disk space, migrations, the dispatcher, workers for every queue that must be served."""
    shortage = shortage_of(session)
    return [*([shortage] if shortage else []), *_missing_rows(session)]


def _missing_rows(session: Session) -> list[str]:
    if not is_migrated(session):
        return ["The database has not had every migration: run `alembic upgrade head`."]
    served = slots_by_queue(session)
    missing = [] if is_alive(session, DISPATCHER) else ["No dispatcher runs."]
    unserved = [queue for queue in serving_queues() if not served.get(queue)]
    return [*missing, *(f"No worker takes from the queue `{queue}`." for queue in unserved)]


def missing_broker(settings: Settings) -> list[str]:
    try:
        ping(settings)
    except Unavailable:
        return ["The broker does not answer."]
    return []
