"""A folder of files that is a library, for the bodies to work on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from core.config.params import AnalysisParams
from core.jobs.kinds import SubmissionContext
from core.jobs.submission import submit_job
from core.store.session import SessionFactory, transaction
from core.store.tables import JobItem, Prediction, Track
from tests.support.worker import work_off


@dataclass
class Music:
    """A folder that is a library, and the database that knows it."""

    root: Path
    sessions: SessionFactory

    def add(self, *paths: str, content: bytes | None = None) -> None:
        """Write files, each with a content of its own unless one is given."""
        for path in paths:
            file = self.root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(path.encode() if content is None else content)

    def submit(self, **params: Any) -> UUID:
        with transaction(self.sessions) as session:
            return submit_job(
                session, AnalysisParams(library="music", **params), SubmissionContext("tests")
            ).job.id

    def label(self, **params: Any) -> UUID:
        """Submit a job and work it off to its end."""
        job_id = self.submit(**params)
        work_off(self.sessions, job_id)
        return job_id

    def outcomes(self, job_id: UUID) -> dict[str, str]:
        """By path: how a track fared in a job, its error code when it failed."""
        query = (
            select(func.coalesce(JobItem.path, Track.path), func.coalesce(JobItem.error_code, JobItem.state))
            .select_from(JobItem)
            .outerjoin(Track, Track.id == JobItem.track_id)
            .where(JobItem.job_id == job_id)
            .order_by(JobItem.unit_id, JobItem.pos)
        )
        with self.sessions() as session:
            rows = [(path, outcome) for path, outcome in session.execute(query)]
        assert len(dict(rows)) == len(rows), "a track has two items in one job"
        return dict(rows)

    def track(self, path: str) -> Track:
        with self.sessions() as session:
            return session.scalars(select(Track).where(Track.path == path)).one()

    def predictions(self) -> list[Prediction]:
        with self.sessions() as session:
            return list(session.scalars(select(Prediction)))
