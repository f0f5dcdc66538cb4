"""Findings of a library scan besides its tracks, stored in the `result` of the analysis job."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from core.config.params import JobKind
from core.library.left_out import add_counts
from core.store.tables import Job


@dataclass(frozen=True)
class Findings:
    left_out: Mapping[str, int] = field(
        default_factory=dict
    )  # number of entries that are not audio, by reason
    missing: int = 0  # number of tracks marked as missing
    warnings: tuple[str, ...] = ()


def findings_of(job: Job) -> Findings | None:
    """The findings so far; None for other jobs, and for an analysis without findings yet."""
    if job.kind != JobKind.ANALYSIS or job.result is None:
        return None
    return Findings(job.result["left_out"], job.result["missing"], tuple(job.result["warnings"]))


def count_left_out(session: Session, job_id: UUID, counts: Mapping[str, int]) -> None:
    result = _lock_result(session, job_id)
    _write(session, job_id, result | {"left_out": add_counts(result["left_out"], counts)})


def count_missing(session: Session, job_id: UUID, tracks: int) -> None:
    result = _lock_result(session, job_id)
    _write(session, job_id, result | {"missing": result["missing"] + tracks})


def add_warning(session: Session, job_id: UUID, sentence: str) -> None:
    """Add a warning, unless it is there already."""
    result = _lock_result(session, job_id)
    _write(session, job_id, result | {"warnings": list(dict.fromkeys([*result["warnings"], sentence]))})


def _lock_result(session: Session, job_id: UUID) -> dict[str, Any]:
    job = session.get_one(Job, job_id, with_for_update=True, populate_existing=True)
    return job.result or {"left_out": {}, "missing": 0, "warnings": []}


def _write(session: Session, job_id: UUID, result: dict[str, Any]) -> None:
    session.get_one(Job, job_id).result = result
    session.flush()
