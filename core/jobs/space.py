"""Whether there is room to work: jobs wait while the data folder or the database has too little.

What is said here is for people who may read jobs: it names no folder of the server.
"""

import shutil
import tempfile
import threading
import time
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from core.settings import Settings
from core.store.session import SessionFactory, transaction

MB = 1_000_000
PROBE = b"\0" * 4096
MEASURE_EVERY_S = 2.0
FILL_EVERY_S = 60.0  # so that two processes that measure cost the database some 0.2 % of a core
FIND_SHORTAGE = "find_shortage"  # in the `info` of sessions whose users are told why jobs wait
DISK_FULL = "53100"  # SQLSTATE

# A result larger than work_mem goes through a temporary file of the server, which is never flushed.
_FILL = (
    "WITH wide AS MATERIALIZED (SELECT repeat('x', 8000) AS line FROM generate_series(1, {rows})) "
    "SELECT (SELECT count(*) FROM wide) + (SELECT sum(length(line)) FROM wide)"
)
FILL_A_FILE = text(_FILL.format(rows=1000))  # 8 MB
FILL_A_LITTLE = text(_FILL.format(rows=16))  # 128 kB, which takes a thirtieth of the processor time


def measure_free(data_dir: Path) -> int:
    """Free bytes where the data folder is. Raises OSError."""
    return shutil.disk_usage(data_dir).free


def find_data_shortage(settings: Settings) -> str | None:
    """Why nothing more should be written to the data folder; None if there is room."""
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        free_mb = measure_free(settings.data_dir) // MB
        if free_mb < settings.min_free_mb:
            return (
                f"Only {free_mb} MB are free in the data folder, and {settings.min_free_mb} MB are needed "
                "(MFA_MIN_FREE_MB): jobs go on when there is room."
            )
        with tempfile.TemporaryFile(dir=settings.data_dir) as file:
            file.write(PROBE)
    except OSError as error:
        return f"The data folder cannot be written ({error.strerror}): jobs go on when it can."
    return None


def find_database_shortage(sessions: SessionFactory, *, briefly: bool = False) -> str | None:
    """Why nothing more can be written to the database; None if it can, or does not answer at all.

    `briefly` tries 128 kB in place of 8 MB.
    """
    try:
        with transaction(sessions) as session:
            if session.scalar(text("SHOW transaction_read_only")) == "on":
                return "The database takes no writes: jobs go on when it does."
            session.execute(text("SET LOCAL work_mem = '64kB'"))
            session.execute(FILL_A_LITTLE if briefly else FILL_A_FILE)
    except DBAPIError as error:
        return "The database has no disk space left: jobs go on when it has." if is_full(error) else None
    except SQLAlchemyError:
        return None
    return None


def is_full(error: DBAPIError) -> bool:
    """Whether the database had no disk space left for a statement."""
    return getattr(error.orig, "sqlstate", None) == DISK_FULL


class SpaceCheck:
    """The shortage of the data folder and the database, measured at most every MEASURE_EVERY_S.

    While there was room before, the database writes its 8 MB every FILL_EVERY_S only. Several threads may
    ask; while one measures, the others get what was found before.
    """

    def __init__(self, settings: Settings, sessions: SessionFactory) -> None:
        self._settings, self._sessions = settings, sessions
        self._lock = threading.Lock()
        self._measured_at = self._filled_at = float("-inf")
        self._found: str | None = None

    def find_shortage(self) -> str | None:
        """In a sentence; None if there is room."""
        if time.monotonic() - self._measured_at >= MEASURE_EVERY_S and self._lock.acquire(blocking=False):
            try:
                self._found = find_data_shortage(self._settings) or self._find_database_shortage()
                self._measured_at = time.monotonic()
            finally:
                self._lock.release()
        return self._found

    def _find_database_shortage(self) -> str | None:
        """A shortage ends only when there is room for all of it."""
        now = time.monotonic()
        briefly = self._found is None and now - self._filled_at < FILL_EVERY_S
        if not briefly:
            self._filled_at = now
        return find_database_shortage(self._sessions, briefly=briefly)


def shortage_of(session: Session) -> str | None:
    """Why jobs wait, as found by the check that the session was made with; None if they do not."""
    find = session.info.get(FIND_SHORTAGE)
    return None if find is None else find()
