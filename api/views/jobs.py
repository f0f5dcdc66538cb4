"""Jobs, their items and what they have found out."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.orm import Session

from api import schemas
from api.views.errors import job_error
from api.views.experiments import training_outcome
from api.views.studies import tuning_outcome
from api.views.tracks import prediction
from core.config.params import JobKind
from core.errors import JobNotFound
from core.jobs.items import ItemRow
from core.jobs.jobs import get_job
from core.jobs.kinds import Progress
from core.jobs.progress import get_progress
from core.jobs.space import shortage_of
from core.services.studies import (
    MOST_BEST,
    find_trials,
    get_studies,
)
from core.states import TERMINAL_JOB_STATES, JobState
from core.store import tables
from core.store.corrections import find_corrections
from core.store.experiments import get_runs
from core.store.findings import findings_of
from core.store.predictions import find_prediction, find_predictions
from core.store.session import SessionFactory

RETRY_AFTER_S = "1"


def job_prediction(session: Session, job: tables.Job, *, all_scores: bool) -> schemas.Prediction | None:
    """What a finished `predict` job has found out."""
    if job.kind != JobKind.PREDICT or job.state != JobState.SUCCEEDED or not job.result:
        return None
    model = session.get(tables.Model, job.model_id) if job.model_id is not None else None
    if model is None:
        return None
    row = find_prediction(session, bytes.fromhex(job.result["content_hash"]), model.id)
    if row is None:
        return None
    corrected = find_corrections(session, [row.content_hash]).get(row.content_hash, {})
    return prediction(model, row.scores, row.duration_s, row.warnings, corrected, all_scores=all_scores)


def read_job(reads: SessionFactory, job_id: UUID, visible_to: str | None) -> schemas.Job:
    """A job as it is now."""
    with reads() as session:
        return job(session, get_job(session, job_id, visible_to=visible_to))


def job(session: Session, row: tables.Job) -> schemas.Job:
    shown = job_list(session, [row])
    if not shown:
        raise JobNotFound
    return shown[0]


def job_list(session: Session, rows: Sequence[tables.Job]) -> list[schemas.Job]:
    """Without those deleted since they were read; in a constant number of statements."""
    progress = get_progress(session, list(rows))
    outcomes = _outcomes(session, rows)
    waiting = _why_waiting(session, rows)
    return [
        _job(row, progress[row.id], outcomes.get(row.id), waiting if row.state in WAITING_STATES else None)
        for row in rows
        if row.id in progress
    ]


def _why_waiting(session: Session, rows: Sequence[tables.Job]) -> str | None:
    """Why open jobs do not go on now, if one of these is open."""
    return shortage_of(session) if any(row.state in WAITING_STATES for row in rows) else None


WAITING_STATES = (JobState.QUEUED, JobState.RUNNING)
Outcomes = dict[UUID, schemas.Outcome | None]


def _outcomes(session: Session, rows: Sequence[tables.Job]) -> Outcomes:
    """What jobs have found out, by their ids."""
    ended = [row for row in rows if row.result]
    return {
        **_analyses([row for row in rows if row.kind == JobKind.ANALYSIS]),
        **_predictions(session, [row for row in ended if row.kind == JobKind.PREDICT]),
        **_trainings(session, [row.id for row in ended if row.kind == JobKind.TRAINING]),
        **_tunings(session, [row for row in ended if row.kind == JobKind.TUNING]),
        **_as_stored(ended),
    }


def _analyses(rows: Sequence[tables.Job]) -> Outcomes:
    found = {row.id: findings_of(row) for row in rows if row.state in TERMINAL_JOB_STATES}
    return {
        job_id: schemas.AnalysisOutcome.model_validate(findings)
        for job_id, findings in found.items()
        if findings
    }


def _predictions(session: Session, rows: Sequence[tables.Job]) -> Outcomes:
    wanted = {
        row.id: (bytes.fromhex(row.result["content_hash"]), row.model_id)
        for row in rows
        if row.state == JobState.SUCCEEDED and row.result and row.model_id is not None
    }
    found = find_predictions(session, list(wanted.values()))
    corrected = find_corrections(session, {digest for digest, _ in found})
    return {
        job_id: prediction(
            model,
            row.scores,
            row.duration_s,
            row.warnings,
            corrected.get(row.content_hash, {}),
            all_scores=False,
        )
        for job_id, (model, row) in ((job_id, found[key]) for job_id, key in wanted.items() if key in found)
    }


def _trainings(session: Session, run_ids: Sequence[UUID]) -> Outcomes:
    return {row.run.id: training_outcome(row) for row in get_runs(session, run_ids)}


def _tunings(session: Session, rows: Sequence[tables.Job]) -> Outcomes:
    """Of studies that still exist."""
    results = {row.id: row.result or {} for row in rows}
    of_job = {job_id: UUID(result["study_id"]) for job_id, result in results.items()}
    studies = get_studies(session, list(of_job.values()))
    numbers: dict[UUID, list[int]] = {study_id: [] for study_id in studies}
    for job_id, study_id in of_job.items():
        if study_id in numbers:
            numbers[study_id] += results[job_id]["best"][:MOST_BEST]
    best = find_trials(session, numbers)
    outcomes: Outcomes = {}
    for job_id, study_id in of_job.items():
        if study_id in studies:
            listed = set(results[job_id]["best"][:MOST_BEST])
            outcomes[job_id] = tuning_outcome(
                studies[study_id], [trial for trial in best[study_id] if trial.number in listed]
            )
    return outcomes


def _as_stored(rows: Sequence[tables.Job]) -> Outcomes:
    shapes = schemas.OUTCOMES
    return {row.id: shapes[row.kind].model_validate(row.result) for row in rows if row.kind in shapes}


def _job(
    row: tables.Job, progress: Progress, found: schemas.Outcome | None, waiting: str | None
) -> schemas.Job:
    return schemas.Job(
        id=row.id,
        kind=JobKind(row.kind),
        state=JobState(row.state),
        waiting=waiting,
        progress=schemas.Progress.model_validate({**vars(progress), **progress.details}),
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        params=row.params,
        result=found,
        error=job_error(row.error_code, row.error_detail),
    )


def item(row: ItemRow) -> schemas.Item:
    error = job_error(row.error_code, row.error_detail)
    return schemas.Item(track_id=row.track_id, path=row.path, state=row.state, error=error)
