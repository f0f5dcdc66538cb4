"""Waiting for the database to tell of new units."""

import os
import select

import psycopg
from sqlalchemy import make_url

from core.jobs.jobs import UNITS_CHANNEL
from core.store.session import DEAD_AFTER

RECONNECT_AFTER_S = 1.0
LISTENING = {name: str(value) for name, value in (DEAD_AFTER | {"connect_timeout": 5}).items()}


class NotificationListener:
    """Waits for the next notification, on a connection of its own."""

    def __init__(self, database_url: str) -> None:
        url = make_url(database_url).set(drivername="postgresql").update_query_dict(LISTENING)
        self._address = url.render_as_string(hide_password=False)
        self._connection: psycopg.Connection | None = None
        self._woken = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def wait(self, for_s: float) -> None:
        """Until there is a notification or `wake` is called, at most so many seconds.

        Returns at once after it has begun to listen, as something may have happened before; without a
        database after RECONNECT_AFTER_S.
        """
        try:
            if self._connection is None:
                self._connection = self._listen()
                return
            select.select([self._connection.fileno(), self._woken], [], [], for_s)
            for _ in self._connection.notifies(timeout=0):
                pass
        except psycopg.Error:
            self._disconnect()
            select.select([self._woken], [], [], RECONNECT_AFTER_S)

    def wake(self) -> None:
        """End this and every later wait. Callable from a signal handler."""
        os.eventfd_write(self._woken, 1)

    def close(self) -> None:
        self._disconnect()
        os.close(self._woken)

    def _listen(self) -> psycopg.Connection:
        connection = psycopg.connect(self._address, autocommit=True)
        connection.execute(f"LISTEN {UNITS_CHANNEL}")
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
