"""Jobs that label the tracks of a library: a unit lists them, and adds units that label them."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from core.config.params import AnalysisParams, JobKind
from core.config.track_query import read_query, write_query
from core.errors import Invalid, LibraryNotFound, NothingToRetry
from core.jobs.kinds import JobSpec, NewJob, Progress, SubmissionContext, UnitSpec
from core.services import queues
from core.services.planning import unfinished_states
from core.services.references import check_model_kept, has_library, hold_library_and_model
from core.services.track_queries import filter_of
from core.states import ItemState, UnitState
from core.store.findings import findings_of
from core.store.libraries import check_folder, get_library_by_name
from core.store.registry import resolve_model
from core.store.tables import Job, JobItem, JobUnit, Library, Track
from core.store.track_filters import matching

PLAN = UnitSpec("plan", queues.PLAN, "workers.planning:plan_library", adds_units=True)
ANALYSE = UnitSpec("analyse", queues.BATCH, "workers.analysis:analyse_tracks")


def prepare_analysis(session: Session, params: AnalysisParams, _context: SubmissionContext) -> NewJob:
    library = get_library_by_name(session, params.library)
    check_folder(library, params.path)
    model = resolve_model(session, params.model)
    query = None if params.query is None else _checked_query(session, library, params)
    content = params.model_dump(mode="json") | {"query": query}
    return NewJob(JobKind.ANALYSIS, content, library_id=library.id, model_id=model.id)


def _checked_query(session: Session, library: Library, params: AnalysisParams) -> str:
    """The query in one form, with the version of the model whose labels it is about. Raises Invalid."""
    if params.path:
        raise Invalid("Name a `path` or a `query`, not both: the query can name a `text` or a `q`.")
    listing = read_query(params.query or "")
    if listing.library not in (None, library.name):
        raise Invalid(f"The query is about the library {listing.library!r}, not {library.name!r}.")
    said_by = resolve_model(session, listing.model)
    matching(session, said_by, filter_of(listing))
    return write_query(listing.model_copy(update={"library": None, "sort": None, "model": said_by.reference}))


def find_tracks(
    session: Session, library_id: UUID, query: str, after: UUID | None, limit: int
) -> Sequence[Track]:
    """The tracks of a library that a query finds, by their ids, behind one of them."""
    listing = read_query(query)
    where = matching(session, resolve_model(session, listing.model), filter_of(listing))
    tracks = select(Track).join(Library, Library.id == Track.library_id).where(*where)
    if after is not None:
        tracks = tracks.where(Track.id > after)
    return session.scalars(tracks.where(Track.library_id == library_id).order_by(Track.id).limit(limit)).all()


def retry_analysis(session: Session, old: Job) -> NewJob:
    """Label again what failed, and what a cancelled job has left undone.

    If the listing failed or was cancelled, it starts again; what has a result by then is skipped, and so is
    what the job has done itself, also with `force`.
    """
    return _retry(session, old, _retry_payload)


def retry_group(session: Session, old: Job, code: str) -> NewJob:
    """Label only the items again that failed for one reason."""
    return _retry(session, old, partial(_group_payload, code=code))


def _retry(session: Session, old: Job, find_payload: Callable[[Session, Job], dict[str, Any]]) -> NewJob:
    if not has_library(session, old):
        raise LibraryNotFound("The library of this job has been deleted.")
    payload = find_payload(session, old)
    check_model_kept(old)
    return NewJob(
        JobKind.ANALYSIS,
        old.params,
        library_id=old.library_id,
        model_id=old.model_id,
        retry_of=old.id,
        payload=payload,
    )


def _retry_payload(session: Session, old: Job) -> dict[str, Any]:
    """Where the listing of a retry starts: at the unfinished items, or where an incomplete one began itself.

    `continues` names the jobs whose work is not to be repeated.
    """
    of_job = select(JobUnit).where(JobUnit.job_id == old.id, JobUnit.kind == PLAN.name)
    plan = session.scalars(of_job.order_by(JobUnit.seq).limit(1)).one_or_none()
    if plan is not None and plan.state != UnitState.DONE:
        origin = {key: plan.payload[key] for key in ("retry_of", "code") if key in plan.payload}
        return origin | {"continues": [str(old.id), *plan.payload.get("continues", [])]}
    unfinished = exists().where(JobItem.job_id == old.id, JobItem.state.in_(unfinished_states(old)))
    if not session.scalar(select(unfinished)):
        raise NothingToRetry
    return {"retry_of": str(old.id)}


def _group_payload(session: Session, old: Job, code: str) -> dict[str, Any]:
    failed = exists().where(JobItem.job_id == old.id, JobItem.state == ItemState.FAILED)
    if not session.scalar(select(failed.where(JobItem.error_code == code))):
        raise NothingToRetry(f"No item of this job has failed with the code {code!r}.")
    return {"retry_of": str(old.id), "code": code}


def check_library(session: Session, job: Job) -> None:
    """Raise LibraryNotFound for an analysis whose library has been deleted: its items go with the tracks."""
    if job.kind == JobKind.ANALYSIS and job.total and not has_library(session, job):
        raise LibraryNotFound("The library of this job has been deleted, and its tracks with it.")


def _describe_progress(
    _session: Session, jobs: Sequence[Job], _progress: Mapping[UUID, Progress]
) -> dict[UUID, dict[str, Any]]:
    """What the listing has left out, and its warnings."""
    found = {job.id: findings_of(job) for job in jobs}
    return {
        job_id: {"left_out": findings.left_out, "warnings": findings.warnings}
        for job_id, findings in found.items()
        if findings is not None
    }


ANALYSIS = JobSpec(
    name=JobKind.ANALYSIS,
    params=AnalysisParams,
    first_unit=PLAN,
    further_units=(ANALYSE,),
    prepare=prepare_analysis,
    retry=retry_analysis,
    retry_group=retry_group,
    hold_references=hold_library_and_model,
    describe_progress=_describe_progress,
    expires=True,
)
