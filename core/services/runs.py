"""What a worker records of the run that its unit executes."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Session

from core.jobs.claims import Claim, renew_lease
from core.jobs.counters import count_done, reset_failures
from core.store.experiments import FinishedTraining, save_epochs
from core.store.tables import Job, JobUnit, Model, Run


def record_epochs(
    session: Session,
    claim: Claim,
    run_id: UUID,
    reports: Sequence[Mapping[str, Any]],
    *,
    counted: bool,
) -> None:
    """Write reports of epochs, again those of a resumed run, and renew the lease.

    A new epoch is progress: earlier failures of the unit no longer count. `counted`: the unit's counter
    becomes the number of epochs, and the job's total those and the ones to come, at most: the dataset may
    decide on them, and fits may end early.
    """
    before, reported = save_epochs(session, run_id, reports)
    if counted:
        count_done(session, claim, reported)
        if reports:
            session.get_one(Job, claim.job_id).total = reported + _epochs_to_come(reports[-1])
    elif reported > before:
        reset_failures(session, claim)
    else:
        renew_lease(session, claim)


def _epochs_to_come(last: Mapping[str, Any]) -> int:
    """Epochs after this one, at most: of its fit, of further folds, and of the final fit after them."""
    fits = 0 if last["folds"] is None else last["folds"] - last["fold"] + 1
    return int(last["epochs"] - last["epoch"] + fits * last["epochs"])


def finish_run(session: Session, claim: Claim, run: Run, finished: FinishedTraining, model: Model) -> None:
    """Write how a run ended. Early stopping may have skipped epochs: the total becomes what there was."""
    record_epochs(session, claim, run.id, finished.epochs, counted=True)
    run.config, run.dataset_sha256, run.code_version = (
        finished.config,
        finished.dataset_sha256,
        finished.code_version,
    )
    run.metrics, run.results, run.duration_s = finished.metrics, finished.results, finished.duration_s
    run.model_id, run.weights_sha256, run.finished_at = model.id, model.sha256, func.now()
    unit = session.get_one(JobUnit, claim.unit_id, populate_existing=True)
    unit.done = max(unit.done, 1)  # averaging models takes no epoch at all
    job = session.get_one(Job, claim.job_id)
    job.model_id, job.total, job.result = model.id, unit.done, {"run_id": str(run.id)}
