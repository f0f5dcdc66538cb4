"""Jobs that compute the waveform of one track which was analysed before waveforms were stored."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.config.params import JobKind, PeaksParams
from core.errors import ITEM_ERRORS, NothingToRetry
from core.jobs.jobs import OPEN_JOB_STATES
from core.jobs.kinds import JobSpec, NewJob, SubmissionContext, UnitSpec
from core.jobs.submission import Submission, submit_job
from core.services import queues
from core.services.track_files import open_track
from core.store.tables import Job, Library, Track

PEAKS_UNIT = UnitSpec("peaks", queues.INTERACTIVE, "workers.peaks:compute_peaks", is_one_item=True)
REMEMBERED = timedelta(hours=1)  # how long the error of a file that cannot be decoded is cached


def submit_peaks(session: Session, track_id: UUID, context: SubmissionContext) -> Submission:
    """The job that computes a track's waveform: a new one, or the owner's last one if it is open.

    One that has failed within the hour because of the file is answered instead of trying again. Raises what
    `open_track` raises.
    """
    open_track(session, track_id).file.close()
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(str(track_id), 0))))
    last = _last_job(session, track_id, context.owner)
    if last is not None and (last.state in OPEN_JOB_STATES or last.error_code in ITEM_ERRORS):
        return Submission(last, replayed=False)
    library, path = session.execute(
        select(Library.name, Track.path)
        .join(Library, Library.id == Track.library_id)
        .where(Track.id == track_id)
    ).one()
    return submit_job(session, PeaksParams(track_id=track_id, library=library, path=path), context)


def _last_job(session: Session, track_id: UUID, owner: str) -> Job | None:
    recent = select(Job).where(Job.owner == owner, Job.created_at > func.now() - REMEMBERED)
    of_track = recent.where(Job.kind == JobKind.PEAKS, Job.params["track_id"].astext == str(track_id))
    return session.scalars(of_track.order_by(Job.created_at.desc()).limit(1)).one_or_none()


def _prepare(_session: Session, params: PeaksParams, _context: SubmissionContext) -> NewJob:
    return NewJob(JobKind.PEAKS, params.model_dump(mode="json"), total=1)


def _refuse_retry(_session: Session, _old: Job) -> NewJob:
    raise NothingToRetry("Peaks are not retried: ask for those of the track again.")


PEAKS = JobSpec(
    name=JobKind.PEAKS,
    params=PeaksParams,
    first_unit=PEAKS_UNIT,
    prepare=_prepare,
    retry=_refuse_retry,
    expires=True,
)
