"""A claimed unit while it is worked on: keeps the lease alive, sees reasons to stop, guards the writes."""

import logging
import random
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from types import TracebackType
from typing import NoReturn, Self, TypeVar

from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from core.errors import LeaseLost
from core.failpoints import crash_point
from core.jobs.units import Claim, hold_lease, is_cancelling, mark_current, renew_lease
from core.jobs.workers import is_draining
from core.store.session import SessionFactory, transaction

log = logging.getLogger(__name__)
T = TypeVar("T")

LOOK_EVERY_S = 1.0  # for a cancel or a drain
MAX_UNIT_S = 120.0  # then the rest of a unit goes back into the queue
STALL_S = 120.0  # without progress for so long, the work hangs and its lease runs out
TRAIN_STALL_S = 3600.0  # the longest without a step of training: a validation, the judging at the end

# SQLSTATE classes: connection, resources, rollback by the server, lock not available, shutdown.
PASSING_STATES = ("08", "53", "40", "55P03", "57P")


class Stop(StrEnum):
    """Why a body should end before its work is done."""

    CANCELLED = "the job was cancelled"
    DRAINING = "the worker shuts down"
    TIME_IS_UP = "the unit has had its time"
    LEASE_LOST = "another worker holds the unit"


class Stopped(Exception):
    """A body ended early because it was asked to."""


class Lease:
    """Use as a context manager around the work; `stop` is set when the work should end."""

    def __init__(self, claim: Claim, worker: str, sessions: SessionFactory) -> None:
        self.claim = claim
        self.sessions = sessions
        self.stop: Stop | None = None
        self._worker = worker
        self._is_endless = claim.kind in ("train", "trial", "study")  # cannot be cut: it takes what it takes
        self._started = self._moved = self._renewed = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def check(self) -> None:
        """Raise Stopped when the work should end here."""
        if self.stop is not None:
            raise Stopped(self.stop)

    def hand_back(self) -> NoReturn:
        """End here although nobody asks for it: the unit goes back into the queue, last in line."""
        raise Stopped(Stop.TIME_IS_UP)

    def moved(self) -> None:
        """Note that the work goes on, where there is nothing to write down."""
        self._moved = time.monotonic()

    def step(self) -> None:
        """Note progress within an item; raise Stopped when not even the item's end can be waited for."""
        self.moved()
        if self.stop is not Stop.TIME_IS_UP:
            self.check()

    def at(self, pos: int) -> None:
        """Note that the work has moved on to an item: a crash from now on is blamed on it."""
        self._moved = time.monotonic()
        self.transact(lambda session: mark_current(session, self.claim, pos))

    def write(self, work: Callable[[Session], T]) -> T:
        """Run `work` in one transaction under the lease; again, while it lasts, when the database is away.

        The outcome of a commit whose connection broke is unknown, so `work` must be safe to repeat.
        """

        def guarded(session: Session) -> T:
            hold_lease(session, self.claim)
            answer = work(session)
            crash_point(f"{self.claim.kind}-written")
            return answer

        answer = self.transact(guarded)
        crash_point(f"{self.claim.kind}-committed")
        self._moved = time.monotonic()
        return answer

    def confirm(self) -> None:
        """Raise LeaseLost unless the unit is still held: before something that no transaction can guard."""
        self.write(lambda _: None)

    def transact(self, work: Callable[[Session], T]) -> T:
        """Run `work` in one transaction that needs no lease; again when the database is away."""
        delay_s = 0.2
        while True:
            try:
                with transaction(self.sessions) as session:
                    return work(session)
            except DBAPIError as error:
                if not _will_pass(error):
                    raise
                if not self._is_trusted():
                    raise LeaseLost from error
                log.warning("unit %s: trying again after: %s", self.claim.unit_id, error.orig)
                time.sleep(delay_s * random.uniform(0.5, 1.5))  # noqa: S311, jitter
                delay_s = min(delay_s * 2, 5.0)

    def _is_trusted(self) -> bool:
        """Whether the lease surely still holds: judged with a margin and without the database."""
        return time.monotonic() - self._renewed < self.claim.lease_s * 5 / 6

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S) and self.stop is not Stop.LEASE_LOST:
            try:
                self._look()
            except LeaseLost:
                self.stop = Stop.LEASE_LOST
            except SQLAlchemyError as error:
                log.warning("unit %s: cannot renew the lease: %s", self.claim.unit_id, error)
                if not self._is_trusted():
                    self.stop = Stop.LEASE_LOST

    def _look(self) -> None:
        now = time.monotonic()
        stall_s = TRAIN_STALL_S if self._is_endless else STALL_S
        due = now - self._renewed > self.claim.lease_s * 2 / 9 and now - self._moved < stall_s
        with transaction(self.sessions) as session:
            if due:
                renew_lease(session, self.claim)
            if is_cancelling(session, self.claim):
                self.stop = Stop.CANCELLED
            elif is_draining(session, self._worker):
                self.stop = Stop.DRAINING
            elif now - self._started > MAX_UNIT_S and not self._is_endless:
                self.stop = Stop.TIME_IS_UP
        if due:
            self._renewed = now


def _will_pass(error: DBAPIError) -> bool:
    """Whether the server is to blame, not the statement: it is away, overloaded, or broke a deadlock."""
    state: str | None = getattr(error.orig, "sqlstate", None)
    return error.connection_invalidated or (
        isinstance(error, OperationalError) and (state is None or state.startswith(PASSING_STATES))
    )
