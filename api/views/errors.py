"""Errors of jobs and of parts of them."""

from api import schemas


def job_error(code: str | None, detail: str | None) -> schemas.JobError | None:
    return schemas.JobError(code=code, detail=detail or "") if code else None
