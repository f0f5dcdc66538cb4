"""Runs one unit: claim it, run its body under the lease, then finish, cancel, release, retry or fail it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pkgutil import resolve_name

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from core.errors import LeaseLost, MFAError, Unavailable
from core.failpoints import failpoint
from core.jobs.claims import Claim, claim_unit
from core.jobs.endings import cancel_unit, fail_unit, finish_unit, release_unit
from core.jobs.kinds import UnitSpec
from core.jobs.space import find_data_shortage, is_full
from core.logs import working_on
from core.settings import get_settings
from core.store.session import SessionFactory, create_database_engine, create_session_factory, transaction
from workers.lease import Lease, Stop, Stopped, find_nothing

log = logging.getLogger(__name__)

Body = Callable[[Lease], None]
FindShortage = Callable[[], str | None]
MAX_CAUSE = 2000  # characters
SPACE_DELAY_S = 5.0  # until a unit that found too little disk space is tried again


@dataclass(frozen=True)
class Ending:
    """How a unit ended: a word for the log, and the statement that writes it."""

    name: str
    write: Callable[[Session, Claim], None]


NO_SPACE = Ending("released for want of disk space", partial(release_unit, delay_s=SPACE_DELAY_S))


@cache
def get_sessions() -> SessionFactory:
    """One engine per process; a pool child opens its own, it inherits none."""
    return create_session_factory(create_database_engine(get_settings().database_url, pool_size=3))


def run_unit(spec: UnitSpec, unit_id: int, *, task_id: str, worker: str) -> None:
    """Run the unit that a task message names, if it is of this kind and can be claimed.

    The body is imported under the claim: a broken installation costs attempts and is reported to the user,
    instead of being published forever.
    """
    sessions, find_shortage = get_sessions(), partial(find_data_shortage, get_settings())
    if shortage := find_shortage():
        log.info("unit %s is not claimed: %s", unit_id, shortage)  # its message counts as lost
        return
    with transaction(sessions) as session:
        claim = claim_unit(session, unit_id, task_id, get_settings().lease_s, spec.name)
    if claim is None:
        log.debug("unit %s cannot be claimed: a duplicate or late message", unit_id)
        return
    with working_on(job=claim.job_id, unit=claim.unit_id):
        failpoint(f"{claim.kind}-claimed")
        run_claim(claim, worker, sessions, lambda lease: resolve_name(spec.body)(lease), find_shortage)


def run_claim(
    claim: Claim,
    worker: str,
    sessions: SessionFactory,
    body: Body,
    find_shortage: FindShortage = find_nothing,
) -> None:
    """Run the body and write how it ended; whatever it raises ends here."""
    log.info("unit %s of job %s: %s starts", claim.unit_id, claim.job_id, claim.kind)
    try:
        with Lease(claim, worker, sessions, find_shortage) as lease:
            ending = _run_body(lease, body, find_shortage)
            failpoint(f"{claim.kind}-done")
            try:
                lease.write(partial(_write_ending, ending=ending, claim=claim))
            except Stopped:
                ending = NO_SPACE
                lease.write(partial(_write_ending, ending=ending, claim=claim))
            failpoint(f"{claim.kind}-ended")
    except LeaseLost:
        log.warning("unit %s: the lease is lost, nothing more is written", claim.unit_id)
    else:
        log.info("unit %s of job %s: %s", claim.unit_id, claim.job_id, ending.name)


def _write_ending(session: Session, ending: Ending, claim: Claim) -> None:
    ending.write(session, claim)
    failpoint(f"{claim.kind}-ending")


def _run_body(lease: Lease, body: Body, find_shortage: FindShortage) -> Ending:
    try:
        body(lease)
    except LeaseLost:
        raise
    except Stopped:
        if lease.stop is Stop.LEASE_LOST:
            raise LeaseLost from None
        if lease.stop is Stop.NO_SPACE:
            return NO_SPACE
        is_cancelled = lease.stop is Stop.CANCELLED
        return Ending("cancelled", cancel_unit) if is_cancelled else Ending("released", release_unit)
    except MFAError as error:
        is_permanent = not isinstance(error, Unavailable)
        return Ending(
            f"failed with {error.code}",
            partial(fail_unit, code=error.code, detail=error.detail, permanent=is_permanent),
        )
    except Exception as error:
        if (
            lease.stop is Stop.NO_SPACE
            or (isinstance(error, DBAPIError) and is_full(error))
            or find_shortage()
        ):
            log.warning("unit %s lacks disk space: %s", lease.claim.unit_id, error)
            lease.stop = Stop.NO_SPACE
            return NO_SPACE
        # What an unforeseen error says (a statement, a folder) is for the operator only.
        log.exception("unit %s failed", lease.claim.unit_id)
        detail = f"An internal error; the worker's log tells more under unit {lease.claim.unit_id}."
        cause = f"{type(error).__name__}: {error}"[:MAX_CAUSE]
        return Ending("failed with internal", partial(fail_unit, code="internal", detail=detail, cause=cause))
    return Ending("finished", finish_unit)
