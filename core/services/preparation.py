"""The first phase of trainings and studies: all batch workers compute what is not known of their tracks.

One unit finds out which tracks these are, and adds units that compute and store their embeddings or log-mel
frames. Trainings and trials wait until these have ended; then they find everything.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from core.jobs.claims import Claim, hold_lease
from core.jobs.jobs import OPEN_UNIT_STATES, notify_dispatcher
from core.jobs.kinds import Progress, UnitSpec
from core.services import queues
from core.services.planning import PlannedItem, add_items
from core.store.tables import Job, JobUnit

PLANNING_LIMIT_S = 6 * 3600  # lists every file of a dataset, on a network disk perhaps

PLAN_INPUTS = UnitSpec(
    "plan-inputs",
    queues.BATCH,
    "workers.preparation:plan_inputs",
    time_limit_s=PLANNING_LIMIT_S,
    can_be_cut=False,
    is_counted=False,
    adds_units=True,
)
PREPARE = UnitSpec("prepare", queues.BATCH, "workers.preparation:prepare_tracks", is_counted=False)
PHASE = (PLAN_INPUTS.name, PREPARE.name)  # units that learn wait for these


def add_preparing_units(
    session: Session, claim: Claim, units: Sequence[tuple[dict[str, Any], Sequence[PlannedItem]]]
) -> None:
    """Add units, each with its payload and what it is to prepare; all or nothing.

    Does nothing if a run of the planning unit `claim` before this one has added them.
    """
    hold_lease(session, claim)
    if session.scalar(select(exists().where(JobUnit.job_id == claim.job_id, JobUnit.kind == PREPARE.name))):
        return
    next_seq = 1 + (session.scalar(select(func.max(JobUnit.seq)).where(JobUnit.job_id == claim.job_id)) or 0)
    for seq, (payload, planned) in enumerate(units, start=next_seq):
        unit = JobUnit(
            job_id=claim.job_id,
            seq=seq,
            kind=PREPARE.name,
            queue=PREPARE.queue,
            payload=payload | {"tracks": len(planned)},
        )
        session.add(unit)
        session.flush()
        add_items(session, claim.job_id, unit.id, planned)
    notify_dispatcher(session)


def describe_preparation(
    session: Session, jobs: Sequence[Job], _progress: Mapping[UUID, Progress]
) -> dict[UUID, dict[str, Any]]:
    """How many of the tracks that nothing was known of are ready, in jobs that still prepare them."""
    ready = func.sum(JobUnit.done + JobUnit.failed + JobUnit.skipped)
    to_read = func.sum(JobUnit.payload["tracks"].as_integer())
    found = session.execute(
        select(JobUnit.job_id, ready, to_read)
        .where(JobUnit.job_id.in_([job.id for job in jobs]), JobUnit.kind == PREPARE.name)
        .group_by(JobUnit.job_id)
        .having(func.bool_or(JobUnit.state.in_(OPEN_UNIT_STATES)))
    )
    return {job_id: {"tracks_read": int(done), "tracks_to_read": int(total)} for job_id, done, total in found}
