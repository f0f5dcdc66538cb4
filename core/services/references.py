"""Rows that jobs refer to: they are kept from being deleted until the job is there."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import LibraryNotFound, ModelNotFound
from core.jobs.kinds import NewJob
from core.store.tables import Job, Library, Model


def hold_library_and_model(session: Session, job: NewJob) -> None:
    """Lock the library and the model of a new job against deletion until the transaction ends."""
    if job.library_id is not None and not _hold(session, Library, job.library_id):
        raise LibraryNotFound("The library of this job has been deleted.")
    if job.model_id is not None:
        hold_model(session, job.model_id)


def hold_model(session: Session, model_id: int) -> None:
    """Lock a model that a new job needs against deletion until the transaction ends."""
    if not _hold(session, Model, model_id):
        raise ModelNotFound("The model of this job has been deleted.")


def _hold(session: Session, table: type[Library] | type[Model], row_id: Any) -> bool:
    """False when the row is deleted already."""
    query = select(table.id).where(table.id == row_id)
    return session.scalar(query.with_for_update(read=True, key_share=True)) is not None


def check_model_kept(job: Job) -> None:
    """Raise ModelNotFound for a job whose model has been removed; one that is only marked is found later."""
    if job.model_id is None:
        raise ModelNotFound("The model of this job has been deleted.")


def has_library(session: Session, job: Job) -> bool:
    """Whether the library of an analysis still exists."""
    library_id = job.library_id
    return library_id is not None and session.get(Library, library_id, populate_existing=True) is not None
