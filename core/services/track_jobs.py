"""Jobs of which one reads the file of one track when somebody looks at it: its waveform, its cover."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.config.params import JobKind, OneTrackParams
from core.errors import ITEM_ERRORS, NothingToRetry
from core.jobs.jobs import OPEN_JOB_STATES
from core.jobs.kinds import JobSpec, NewJob, SubmissionContext, UnitSpec
from core.jobs.submission import Submission, submit_job
from core.services.track_files import open_track
from core.store.tables import Job, Library, Track

REMEMBERED = timedelta(hours=1)  # how long the error of a file that cannot be decoded is cached


def submit_for_track(
    session: Session, track_id: UUID, kind: type[OneTrackParams], context: SubmissionContext
) -> Submission:
    """The job of a kind for a track: a new one, or the owner's last one if it is open.

    One that has failed within the hour because of the file is answered instead of trying again. Raises what
    `open_track` raises.
    """
    open_track(session, track_id).file.close()
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(str(track_id), 0))))
    library, path = session.execute(
        select(Library.name, Track.path)
        .join(Library, Library.id == Track.library_id)
        .where(Track.id == track_id)
    ).one()
    params = kind(track_id=track_id, library=library, path=path)
    last = _last_job(session, params, context.owner)
    if last is not None and (last.state in OPEN_JOB_STATES or last.error_code in ITEM_ERRORS):
        return Submission(last, replayed=False)
    return submit_job(session, params, context)


def _last_job(session: Session, params: OneTrackParams, owner: str) -> Job | None:
    recent = select(Job).where(Job.owner == owner, Job.created_at > func.now() - REMEMBERED)
    of_track = recent.where(Job.kind == params.kind, Job.params["track_id"].astext == str(params.track_id))
    return session.scalars(of_track.order_by(Job.created_at.desc()).limit(1)).one_or_none()


def spec_for_track(params: type[OneTrackParams], unit: UnitSpec) -> JobSpec:
    """The declaration of such a kind."""
    return JobSpec(
        name=params.kind,
        params=params,
        first_unit=unit,
        prepare=_prepare,
        retry=_refuse_retry,
        expires=True,
    )


def _prepare(_session: Session, params: OneTrackParams, _context: SubmissionContext) -> NewJob:
    return NewJob(JobKind(params.kind), params.model_dump(mode="json"), total=1)


def _refuse_retry(_session: Session, old: Job) -> NewJob:
    raise NothingToRetry(f"A job of kind {old.kind} is not retried: ask for that of the track again.")
