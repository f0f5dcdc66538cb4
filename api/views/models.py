"""Models, and their retraining."""

from uuid import UUID

from sqlalchemy.orm import Session

from api import schemas
from api.views.errors import job_error
from core.services.retraining import RetrainingRow
from core.store import tables

SCORE_DIGITS = 6  # all that a 32-bit float holds


def model(row: tables.Model, aliases: dict[str, int], run_id: UUID | None = None) -> schemas.Model:
    """`run_id`: the training that made its weights."""
    return schemas.Model(
        name=row.name,
        version=row.version,
        kind=row.kind,
        aliases=sorted(alias for alias, model_id in aliases.items() if model_id == row.id),
        labels=row.labels,
        thresholds=[round(threshold, SCORE_DIGITS) for threshold in row.thresholds],
        single_label=row.single_label,
        embedding_size=row.embedding_size,
        metrics=row.metrics,
        sha256=row.sha256,
        created_at=row.created_at,
        offer=schemas.Offer.model_validate(row.offer) if row.offer else None,
        run_id=run_id,
    )


def retraining(session: Session, row: RetrainingRow) -> schemas.Retraining:
    known, job = row.retraining, row.job
    made = session.get(tables.Model, job.model_id) if job is not None and job.model_id is not None else None
    code, detail = known.error_code, known.error_detail
    if known.enabled and row.obstacle is not None:
        code, detail = row.obstacle.code, row.obstacle.detail
    elif code is None and job is not None:
        code, detail = job.error_code, job.error_detail
    return schemas.Retraining(
        model=known.model_name,
        enabled=known.enabled,
        after_tracks=known.after_tracks,
        library=row.library.name if row.library is not None else None,
        serving=row.serving.reference if row.serving is not None else None,
        corrected=row.corrected,
        tried_at=known.tried_at,
        job=job.id if job is not None else None,
        state=job.state if job is not None else None,
        offered=made.reference if made is not None else None,
        error=job_error(code, detail),
    )


def retraining_progress(row: RetrainingRow) -> schemas.RetrainingProgress:
    return schemas.RetrainingProgress(
        model=row.retraining.model_name,
        serving=row.serving.reference if row.serving is not None else None,
        library=row.library.name if row.library is not None else None,
        corrected=row.corrected,
        job=row.job.id if row.job is not None else None,
        state=row.job.state if row.job is not None else None,
    )
