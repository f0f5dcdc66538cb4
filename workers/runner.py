"""Runs one unit: claim it, do its body under the lease, then finish, cancel, hand back, retry or fail it."""

import logging
from collections.abc import Callable
from functools import cache, partial
from pkgutil import resolve_name
from typing import Any

from sqlalchemy.orm import Session

from core.errors import LeaseLost, MFAError, Unavailable
from core.failpoints import failpoint
from core.jobs import units
from core.jobs.queue import TASK_PREFIX
from core.jobs.units import Claim
from core.logs import working_on
from core.settings import get_settings
from core.store.session import SessionFactory, create_database_engine, create_session_factory, transaction
from workers.lease import Lease, Stop, Stopped

log = logging.getLogger(__name__)

Body = Callable[[Lease], None]
Ending = Callable[[Session, Claim], None]
MAX_CAUSE = 2000  # characters


@cache
def get_sessions() -> SessionFactory:
    """One engine per process; a pool child opens its own, it inherits none."""
    return create_session_factory(create_database_engine(get_settings().database_url, pool_size=3))


def run_unit(request: Any, unit_id: int, body: str) -> None:
    """What every task does with the unit that its message names; `request` is the Celery task's.

    The body, `module:function`, is imported under the claim: a broken installation costs attempts and is
    told to the user, instead of being published for ever.
    """
    sessions, kind = get_sessions(), request.task.removeprefix(TASK_PREFIX)
    with transaction(sessions) as session:
        claim = units.claim_unit(session, unit_id, request.id, get_settings().lease_s, kind)
    if claim is None:
        log.debug("unit %s is not to be had: a duplicate or late message", unit_id)
        return
    with working_on(job=claim.job_id, unit=claim.unit_id):
        failpoint(f"{claim.kind}-claimed")
        run_claim(claim, request.hostname, sessions, lambda lease: resolve_name(body)(lease))


def run_claim(claim: Claim, worker: str, sessions: SessionFactory, body: Body) -> None:
    """Do the body and write how it ended; whatever it raises ends here."""
    log.info("unit %s of job %s: %s starts", claim.unit_id, claim.job_id, claim.kind)
    try:
        with Lease(claim, worker, sessions) as lease:
            ending = _do(lease, body)
            failpoint(f"{claim.kind}-done")
            lease.write(partial(_end, ending=ending, claim=claim))
            failpoint(f"{claim.kind}-ended")
    except LeaseLost:
        log.warning("unit %s: the lease is lost, nothing more is written", claim.unit_id)
    else:
        log.info("unit %s of job %s: %s", claim.unit_id, claim.job_id, ending.__name__)


def _end(session: Session, ending: Ending, claim: Claim) -> None:
    ending(session, claim)
    failpoint(f"{claim.kind}-ending")


def _do(lease: Lease, body: Body) -> Ending:
    """Run the body; the statement that its ending calls for."""
    try:
        body(lease)
    except LeaseLost:
        raise
    except Stopped:
        if lease.stop is Stop.LEASE_LOST:
            raise LeaseLost from None
        return units.cancel_unit if lease.stop is Stop.CANCELLED else units.release_unit
    except MFAError as error:
        return _failure(error.code, error.detail, permanent=not isinstance(error, Unavailable))
    except Exception as error:
        # What an unforeseen error says (a statement, a folder) is for the operator only.
        log.exception("unit %s failed", lease.claim.unit_id)
        detail = f"An internal error; the worker's log tells more under unit {lease.claim.unit_id}."
        return _failure("internal", detail, cause=f"{type(error).__name__}: {error}"[:MAX_CAUSE])
    return units.finish_unit


def _failure(code: str, detail: str, *, cause: str | None = None, permanent: bool = False) -> Ending:
    def fail_unit(session: Session, claim: Claim) -> None:
        units.fail_unit(session, claim, code, detail, cause=cause, permanent=permanent)

    return fail_unit
