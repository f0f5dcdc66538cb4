"""Jobs: submit, look at, cancel, retry."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, case, exists, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.config.params import AnalysisParams, JobKind, PredictParams
from core.errors import (
    IdempotencyKeyReused,
    JobAlreadyEnded,
    JobNotFinished,
    JobNotFound,
    LibraryNotFound,
    ModelNotFound,
    NothingToRetry,
    TooManyJobs,
)
from core.services.trials import USABLE, close_trials
from core.states import TERMINAL_JOB_STATES, TERMINAL_UNIT_STATES, ItemState, JobState, UnitState
from core.store.cursor import Page, cut_page, decode_cursor
from core.store.findings import Findings, findings_of
from core.store.libraries import check_folder, get_library_by_name
from core.store.registry import resolve_model
from core.store.tables import Job, JobItem, JobUnit, Library, Model, Trial

UNITS_CHANNEL = "mfa_units"
OPEN_JOBS_LOCK = 7_046_029  # apart from whatever else takes advisory locks
OPEN_JOB_STATES = tuple(state for state in JobState if state not in TERMINAL_JOB_STATES)
OPEN_UNIT_STATES = tuple(state for state in UnitState if state not in TERMINAL_UNIT_STATES)


@dataclass(frozen=True)
class Request:
    """What makes two requests of one owner the same."""

    owner: str
    idempotency_key: str | None
    digest: bytes  # of the request as it was sent


@dataclass(frozen=True)
class Submission:
    job: Job
    replayed: bool  # the Idempotency-Key was known: this is the job it made before


@dataclass(frozen=True)
class Progress:
    """`percent` and `eta_s` are None until the library is listed to its end, when `total` is known."""

    total: int
    done: int
    failed: int
    skipped: int
    percent: float | None
    rate_per_s: float | None
    eta_s: float | None
    tracks_read: int | None = None  # of a training that is getting its tracks ready
    tracks_to_read: int | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)  # of a listing: entries that are no audio
    warnings: Sequence[str] = ()  # of a listing
    activity: dict[str, Any] | None = None  # of a running training: name, done, total


def notify_dispatcher(session: Session) -> None:
    """Wake the dispatcher when this transaction commits; it would also look by itself soon."""
    session.execute(select(func.pg_notify(bindparam("channel", UNITS_CHANNEL), "")))


def submit_analysis(
    session: Session, params: AnalysisParams, owner: str, idempotency_key: str | None = None
) -> Submission:
    request = Request(owner, idempotency_key, digest(JobKind.ANALYSIS, params.model_dump(mode="json")))
    if (replay := find_replay(session, request)) is not None:
        return replay
    library = get_library_by_name(session, params.library)
    check_folder(library, params.path)
    model = resolve_model(session, params.model)
    job = {"kind": JobKind.ANALYSIS, "params": params.model_dump(mode="json")}
    return submit_job(
        session,
        job | {"library_id": library.id, "model_id": model.id},
        {"kind": "plan", "queue": "plan"},
        request,
    )


def submit_predict(
    session: Session,
    job_id: UUID,
    params: PredictParams,
    owner: str,
    idempotency_key: str | None = None,
    *,
    sha256: str = "",
) -> Submission:
    """Label the file that lies in the uploads folder under the job's id; `sha256` is its digest in hex."""
    content = params.model_dump(mode="json")
    request = Request(owner, idempotency_key, digest(JobKind.PREDICT, content, sha256))
    if (replay := find_replay(session, request)) is not None:
        return replay
    model = resolve_model(session, params.model)
    job = {"kind": JobKind.PREDICT, "params": content}
    return submit_job(
        session,
        job | {"id": job_id, "model_id": model.id, "total": 1},
        {"kind": "predict", "queue": "interactive"},
        request,
    )


def retry_failed(
    session: Session,
    job_id: UUID,
    owner: str,
    idempotency_key: str | None = None,
    *,
    visible_to: str | None = None,
) -> Submission:
    """A new job over the failed items of an ended one.

    An analysis whose listing failed is listed again as a whole; what has a result by then is skipped, unless
    `force` is set. The file of an upload must be stored under the new job's id before this is committed.
    """
    old = get_job(session, job_id, visible_to=visible_to, hold=True)
    if old.state not in TERMINAL_JOB_STATES:
        raise JobNotFinished
    if old.kind == JobKind.TUNING:
        raise NothingToRetry(
            "Tuning is not retried: POST /api/v1/studies/{id}/resume adds trials to a study "
            "(`mfa tune --resume STUDY --trials 20`); thresholds are submitted anew."
        )
    job = {"kind": old.kind, "params": old.params, "retry_of": old.id}
    job |= {"library_id": old.library_id, "model_id": old.model_id}
    first_unit: dict[str, Any]
    _check_library_kept(session, old)
    if old.kind == JobKind.PREDICT:
        if old.state == JobState.SUCCEEDED:
            raise NothingToRetry("This file has been labelled: there is nothing to retry.")
        job, first_unit = job | {"total": 1}, {"kind": "predict", "queue": "interactive"}
    else:
        first_unit = {"kind": "plan", "queue": "plan", "payload": _retry_payload(session, old)}
    if old.model_id is None:  # swept; one that is only marked as deleted is found out with the submission
        raise ModelNotFound("The model of this job has been deleted.")
    return submit_job(session, job, first_unit, retry_request(job_id, owner, idempotency_key))


def _check_library_kept(session: Session, old: Job) -> None:
    """Raise LibraryNotFound for an analysis whose library has been deleted; its id goes when it is swept."""
    if old.kind == JobKind.ANALYSIS and (
        old.library_id is None or session.get(Library, old.library_id, populate_existing=True) is None
    ):
        raise LibraryNotFound("The library of this job has been deleted.")


def _retry_payload(session: Session, old: Job) -> dict[str, str]:
    """Where the planner of a retry starts: at the failed items, or where one began that failed itself."""
    plan = session.scalars(
        select(JobUnit).where(JobUnit.job_id == old.id, JobUnit.kind == "plan").order_by(JobUnit.seq).limit(1)
    ).one_or_none()
    if plan is not None and plan.state == UnitState.FAILED:
        return {"retry_of": plan.payload["retry_of"]} if "retry_of" in plan.payload else {}
    failed = exists().where(JobItem.job_id == old.id, JobItem.state == ItemState.FAILED)
    if not session.scalar(select(failed)):
        raise NothingToRetry
    return {"retry_of": str(old.id)}


def digest(kind: str, *content: Any) -> bytes:
    """SHA-256 of a request as it was sent, before anything in it is looked up or filled in."""
    return hashlib.sha256(json.dumps([kind, *content], sort_keys=True).encode()).digest()


def retry_request(job_id: UUID, owner: str, idempotency_key: str | None) -> Request:
    """The request to retry a job."""
    return Request(owner, idempotency_key, digest("retry", str(job_id)))


def find_replay(session: Session, request: Request) -> Submission | None:
    """The job that the same request has made before, None for a new one.

    Every submission asks this before it checks anything: a repeated request is answered as the first one
    was, also when the folder, library, model or job that it names no longer exists. Raises
    IdempotencyKeyReused when the key came with another request.
    """
    if request.idempotency_key is None:
        return None
    query = select(Job).where(Job.owner == request.owner, Job.idempotency_key == request.idempotency_key)
    known = session.scalars(query).one_or_none()
    if known is None:
        return None
    if known.request_hash != request.digest:
        raise IdempotencyKeyReused
    return Submission(known, replayed=True)


def submit_job(
    session: Session, job: dict[str, Any], first_unit: dict[str, Any], request: Request
) -> Submission:
    """Insert a job with its first unit, or find the one that the same request made in the meantime."""
    _hold_references(session, job)
    created = session.scalars(
        insert(Job)
        .values(
            **job,
            owner=request.owner,
            state=JobState.QUEUED,
            idempotency_key=request.idempotency_key,
            request_hash=request.digest,
        )
        .on_conflict_do_nothing(index_elements=[Job.owner, Job.idempotency_key])
        .returning(Job)
    ).one_or_none()
    if created is None:
        # The job may have been deleted since, which has freed the key.
        return find_replay(session, request) or submit_job(session, job, first_unit, request)
    session.add(JobUnit(job_id=created.id, seq=0, **first_unit))
    session.flush()
    notify_dispatcher(session)
    return Submission(created, replayed=False)


def _hold_references(session: Session, job: dict[str, Any]) -> None:
    """Keep the library and the model of a new job from being deleted until its row is there."""
    if job.get("library_id") is not None and not _hold(session, Library, job["library_id"]):
        raise LibraryNotFound("The library of this job has been deleted.")
    if job.get("model_id") is not None and not _hold(session, Model, job["model_id"]):
        raise ModelNotFound("The model of this job has been deleted.")


def _hold(session: Session, table: type[Library] | type[Model], row_id: Any) -> bool:
    """Lock a row against its deletion until the transaction ends; False when it is deleted already."""
    query = select(table.id).where(table.id == row_id)
    return session.scalar(query.with_for_update(read=True, key_share=True)) is not None


def check_room(session: Session, owner: str, idempotency_key: str | None, cap: int) -> None:
    """Raise TooManyJobs when the owner has `cap` open jobs, unless the key names one that is there.

    For refusing early what `limit_open_jobs` would refuse in the end.
    """
    known = exists().where(Job.owner == owner, Job.idempotency_key == idempotency_key)
    if idempotency_key is None or not session.scalar(select(known)):
        _refuse_at(cap, session, owner, cap)


def limit_open_jobs(session: Session, submission: Submission, cap: int) -> None:
    """Raise TooManyJobs when the owner has more than `cap` with the new one, which is then to be undone.

    The lock makes submissions of one owner at the same moment see each other.
    """
    if submission.replayed:
        return
    owner = submission.job.owner
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(owner, OPEN_JOBS_LOCK))))
    _refuse_at(cap + 1, session, owner, cap)


def _refuse_at(count: int, session: Session, owner: str, cap: int) -> None:
    opened = select(Job.id).where(Job.owner == owner, Job.state.in_(OPEN_JOB_STATES)).limit(count)
    if len(session.scalars(opened).all()) == count:
        raise TooManyJobs(f"This key may have {cap} open jobs: wait until one has ended or cancel it.")


def get_job(
    session: Session,
    job_id: UUID,
    *,
    visible_to: str | None = None,
    lock: bool = False,
    hold: bool = False,
) -> Job:
    """A job; one of another owner than `visible_to` (None: anybody's) does not exist.

    Until the transaction ends, `lock` keeps others from writing the row, `hold` only from deleting it.
    """
    query = select(Job).where(Job.id == job_id)
    if lock or hold:
        query = query.with_for_update(read=hold, key_share=hold).execution_options(populate_existing=True)
    if visible_to is not None:
        query = query.where(Job.owner == visible_to)
    job = session.scalars(query).one_or_none()
    if job is None:
        raise JobNotFound
    return job


def check_library(session: Session, job: Job) -> None:
    """Raise LibraryNotFound for an analysis whose library has been deleted: its items go with the tracks."""
    if job.kind != JobKind.ANALYSIS or not job.total:
        return
    if job.library_id is None or session.get(Library, job.library_id, populate_existing=True) is None:
        raise LibraryNotFound("The library of this job has been deleted, and its tracks with it.")


def list_jobs(
    session: Session,
    cursor: str | None,
    limit: int,
    state: JobState | None = None,
    *,
    visible_to: str | None = None,
) -> Page[Job]:
    """Newest first."""
    query = select(Job).order_by(Job.created_at.desc(), Job.id.desc()).limit(limit + 1)
    if visible_to is not None:
        query = query.where(Job.owner == visible_to)
    if state is not None:
        query = query.where(Job.state == state)
    if cursor is not None:
        key = decode_cursor(cursor, datetime.fromisoformat, UUID)
        query = query.where(tuple_(Job.created_at, Job.id) < key)
    return cut_page(session.scalars(query).all(), limit, lambda job: (job.created_at, job.id))


def get_progress(session: Session, jobs: list[Job]) -> dict[UUID, Progress]:
    """Progress of several jobs, summed from the counters of their units.

    A job that has been deleted since it was read is left out: some of its units may be gone.
    """
    unfinished_plan = (JobUnit.kind == "plan") & JobUnit.state.in_(OPEN_UNIT_STATES)
    sums = session.execute(
        select(
            JobUnit.job_id,
            func.sum(JobUnit.done).label("done"),
            func.sum(JobUnit.failed).label("failed"),
            func.sum(JobUnit.skipped).label("skipped"),
            func.bool_or(unfinished_plan).label("planning"),
        )
        .join(Job, Job.id == JobUnit.job_id)
        .where(JobUnit.job_id.in_([job.id for job in jobs]))
        .group_by(JobUnit.job_id)
    )
    by_job = {row.job_id: row for row in sums}
    now = datetime.now(UTC)
    found = {job.id: _progress(job, by_job[job.id], now) for job in jobs if job.id in by_job}
    trainings = [job.id for job in jobs if job.kind == JobKind.TRAINING and job.id in found]
    for job_id, activity in _activities(session, trainings):
        found[job_id] = replace(found[job_id], activity=activity)
    for job_id, done, total in _tracks_read(session, [each for each in trainings if not found[each].done]):
        found[job_id] = replace(found[job_id], tracks_read=done, tracks_to_read=total)
    return found


def _activities(session: Session, job_ids: list[UUID]) -> list[tuple[UUID, dict[str, Any] | None]]:
    """What the jobs among these that are running are doing."""
    if not job_ids:
        return []
    is_running = JobUnit.state == UnitState.RUNNING
    query = select(JobUnit.job_id, JobUnit.activity).where(JobUnit.job_id.in_(job_ids), is_running)
    return [(job_id, activity) for job_id, activity in session.execute(query)]


def _tracks_read(session: Session, job_ids: list[UUID]) -> list[tuple[UUID, int, int]]:
    """How far trainings are that have reported it, and no epoch yet."""
    if not job_ids:
        return []
    columns = (JobUnit.timings["tracks_ready"].as_float(), JobUnit.timings["tracks"].as_float())
    query = select(JobUnit.job_id, *columns).where(JobUnit.job_id.in_(job_ids), columns[1].is_not(None))
    return [(job_id, int(done), int(total)) for job_id, done, total in session.execute(query)]


def _progress(job: Job, sums: Any, now: datetime) -> Progress:
    outcomes = sums.done + sums.failed + sums.skipped
    worked = sums.done + sums.failed
    elapsed_s = ((job.finished_at or now) - job.started_at).total_seconds() if job.started_at else 0.0
    rate = worked / elapsed_s if worked and elapsed_s > 0 else None
    known = not sums.planning
    percent = 100 * outcomes / job.total if job.total else 100.0
    is_open = job.state in OPEN_JOB_STATES
    found = findings_of(job) or Findings()
    return Progress(
        total=job.total,
        done=sums.done,
        failed=sums.failed,
        skipped=sums.skipped,
        percent=round(percent, 1) if known else None,
        rate_per_s=round(rate, 3) if rate else None,
        eta_s=round((job.total - outcomes) / rate, 1) if known and rate and is_open else None,
        left_out=found.left_out,
        warnings=found.warnings,
    )


def cancel_job(session: Session, job_id: UUID, *, visible_to: str | None = None) -> Job:
    """Ask for a stop; workers see it within seconds, and what is done by then is kept."""
    job = get_job(session, job_id, visible_to=visible_to, lock=True)
    if job.state in (JobState.SUCCEEDED, JobState.FAILED):
        raise JobAlreadyEnded
    if job.state in (JobState.QUEUED, JobState.RUNNING):
        job.state = JobState.CANCELLING
        session.flush()
        notify_dispatcher(session)
    return job


def finish_job_if_complete(session: Session, job_id: UUID) -> None:
    """End a job whose last unit has ended. The lock makes two last units see each other."""
    session.execute(select(Job.id).where(Job.id == job_id).with_for_update())
    _close(session, _finish().where(Job.id == job_id))


def finish_complete_jobs(session: Session) -> None:
    """End every job without an open unit: a cancelled one whose units nobody had claimed, for example."""
    _close(session, _finish())


def _close(session: Session, finish: Any) -> None:
    ended = session.execute(finish.returning(Job.id, Job.kind)).all()
    close_trials(session, [job_id for job_id, kind in ended if kind == JobKind.TUNING])


def _finish() -> Any:
    units = select(JobUnit.id).where(JobUnit.job_id == Job.id).correlate(Job)
    unfinished = units.where(JobUnit.state.in_(OPEN_UNIT_STATES)).exists()
    failed = units.where(JobUnit.state == UnitState.FAILED).exists()
    trials = select(Trial.id).where(Trial.job_id == Job.id).correlate(Job)
    in_vain = trials.exists() & ~trials.where(Trial.state.in_(USABLE)).exists()
    ended_state = case(
        (Job.state == JobState.CANCELLING, JobState.CANCELLED),
        (failed | in_vain, JobState.FAILED),
        else_=JobState.SUCCEEDED,
    )
    return (
        update(Job)
        # A queued job cannot succeed: one without units must not stop the round for all others.
        .where(Job.state.in_((JobState.RUNNING, JobState.CANCELLING)), ~unfinished)
        .values(state=ended_state, finished_at=func.now())
    )
