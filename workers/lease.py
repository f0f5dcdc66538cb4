"""The lease of a claimed unit: renews it while the work makes progress, says when to stop, guards writes."""

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
from core.failpoints import failpoint
from core.jobs.claims import Claim, hold_lease, is_cancelling, mark_current, renew_lease
from core.jobs.kinds import unit_spec
from core.jobs.space import is_full
from core.jobs.workers import is_draining
from core.store.session import SessionFactory, transaction

log = logging.getLogger(__name__)
T = TypeVar("T")

POLL_EVERY_S = 1.0  # for a cancel or a drain
MAX_UNIT_S = 120.0  # then the rest of a unit goes back into the queue
STALL_S = 120.0  # without progress for this time, the work hangs and its lease runs out
LONG_STALL_S = 3600.0  # the same for units that cannot be cut: a training evaluates for long between steps

# SQLSTATE classes: connection, resources, rollback by the server, lock not available, shutdown.
TRANSIENT_STATES = ("08", "53", "40", "55P03", "57P")


class Stop(StrEnum):
    """Why a body should end before its work is done."""

    CANCELLED = "the job was cancelled"
    DRAINING = "the worker shuts down"
    TIME_IS_UP = "the unit has had its time"
    NO_SPACE = "there is too little disk space"
    LEASE_LOST = "another worker holds the unit"


class Stopped(Exception):
    """A body ended early because it was asked to."""


def find_nothing() -> None:
    """For work that needs no disk space."""


class Lease:
    """Use as a context manager around the work; `stop` is set when the work should end.

    `find_shortage` says why nothing more should be written to the disk, None if there is room.
    """

    def __init__(
        self,
        claim: Claim,
        worker: str,
        sessions: SessionFactory,
        find_shortage: Callable[[], str | None] = find_nothing,
    ) -> None:
        self.claim = claim
        self.sessions = sessions
        self.stop: Stop | None = None
        self._worker = worker
        self._find_shortage = find_shortage
        self._can_be_cut = unit_spec(claim.kind).can_be_cut
        self._started = self._progressed = self._renewed = time.monotonic()
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

    def release(self) -> NoReturn:
        """End here unasked: the unit goes back into the queue, last in line."""
        raise Stopped(Stop.TIME_IS_UP)

    def record_progress(self) -> None:
        """Record that the work goes on, where nothing is written."""
        self._progressed = time.monotonic()

    def record_step(self) -> None:
        """Record progress within an item; raise Stopped when the work must end before the item does."""
        self.record_progress()
        if self.stop is not Stop.TIME_IS_UP:
            self.check()

    def start_item(self, pos: int) -> None:
        """Record that the work has reached an item: a crash from now on is counted against it."""
        self._progressed = time.monotonic()
        self.transact(lambda session: mark_current(session, self.claim, pos))

    def write(self, work: Callable[[Session], T]) -> T:
        """Run `work` in one transaction under the lease; while that lasts, retry when the database is away.

        The outcome of a commit whose connection broke is unknown, so `work` must be safe to repeat.
        """

        def guarded(session: Session) -> T:
            hold_lease(session, self.claim)
            answer = work(session)
            failpoint(f"{self.claim.kind}-written")
            return answer

        answer = self.transact(guarded)
        failpoint(f"{self.claim.kind}-committed")
        self._progressed = time.monotonic()
        return answer

    def transact(self, work: Callable[[Session], T]) -> T:
        """Run `work` in one transaction that needs no lease; retried in an outage of the database.

        Raises Stopped when the database has no disk space left, unless the unit is ending because of it.
        """
        delay_s = 0.2
        while True:
            try:
                with transaction(self.sessions) as session:
                    return work(session)
            except DBAPIError as error:
                if not _is_transient(error):
                    raise
                if not self._is_surely_held():
                    raise LeaseLost from error
                if is_full(error) and self.stop is not Stop.NO_SPACE:
                    self.stop_for_space(str(error.orig))
                    raise Stopped(self.stop) from error
                log.warning("unit %s: trying again after: %s", self.claim.unit_id, error.orig)
                time.sleep(delay_s * random.uniform(0.5, 1.5))  # noqa: S311, jitter
                delay_s = min(delay_s * 2, 5.0)

    def stop_for_space(self, reason: str) -> None:
        log.warning("unit %s stops: %s", self.claim.unit_id, reason)
        self.stop = Stop.NO_SPACE

    def _is_surely_held(self) -> bool:
        """Whether the lease certainly still holds: by a local clock, with a margin."""
        return time.monotonic() - self._renewed < self.claim.lease_s * 5 / 6

    def _watch(self) -> None:
        while not self._ended.wait(POLL_EVERY_S) and self.stop is not Stop.LEASE_LOST:
            try:
                self._poll()
            except LeaseLost:
                self.stop = Stop.LEASE_LOST
            except SQLAlchemyError as error:
                log.warning("unit %s: cannot renew the lease: %s", self.claim.unit_id, error)
                if not self._is_surely_held():
                    self.stop = Stop.LEASE_LOST

    def _poll(self) -> None:
        now = time.monotonic()
        stall_s = STALL_S if self._can_be_cut else LONG_STALL_S
        due = now - self._renewed > self.claim.lease_s * 2 / 9 and now - self._progressed < stall_s
        if self.stop is not Stop.NO_SPACE and (shortage := self._find_shortage()):
            self.stop_for_space(shortage)
        with transaction(self.sessions) as session:
            if due:
                renew_lease(session, self.claim)
            if is_cancelling(session, self.claim):
                self.stop = Stop.CANCELLED
            elif self.stop is Stop.NO_SPACE:
                pass
            elif is_draining(session, self._worker):
                self.stop = Stop.DRAINING
            elif now - self._started > MAX_UNIT_S and self._can_be_cut:
                self.stop = Stop.TIME_IS_UP
        if due:
            self._renewed = now


def _is_transient(error: DBAPIError) -> bool:
    """Whether the server is to blame, not the statement: it is away, overloaded, or broke a deadlock."""
    state: str | None = getattr(error.orig, "sqlstate", None)
    return error.connection_invalidated or (
        isinstance(error, OperationalError) and (state is None or state.startswith(TRANSIENT_STATES))
    )
