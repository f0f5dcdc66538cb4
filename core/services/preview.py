"""Jobs that say what would change if a model served in place of another one."""

from sqlalchemy.orm import Session

from core.config.params import JobKind, PreviewParams
from core.errors import Invalid, NothingToRetry
from core.jobs.kinds import JobSpec, NewJob, SubmissionContext, UnitSpec
from core.services import queues
from core.services.references import hold_library_and_model, hold_model
from core.store.libraries import get_library_by_name
from core.store.registry import resolve_model
from core.store.tables import Job
from core.store.track_counts import count_tracks

MOST_AT_ONCE = 20_000  # tracks of a preview that uploads may wait for: it takes about two seconds
# Stores nothing until it is complete, so a killed one starts again.
PREVIEW_UNIT = UnitSpec("preview", queues.INTERACTIVE, "workers.preview:preview_model", can_be_cut=False)


def prepare_preview(session: Session, params: PreviewParams, _context: SubmissionContext) -> NewJob:
    """One of many tracks waits among batches, so that it holds up no upload.

    Raises Invalid for a model that would be compared with itself.
    """
    model, against = resolve_model(session, params.model), resolve_model(session, params.against)
    if model.id == against.id:
        raise Invalid(f"{model.reference} would be compared with itself: name another model as `against`.")
    library = None if params.library is None else get_library_by_name(session, params.library)
    library_id = None if library is None else library.id
    counted = count_tracks(session)
    total = sum(each.present for key, each in counted.items() if library_id in (None, key))
    return NewJob(
        JobKind.PREVIEW,
        {"model": model.reference, "against": against.reference, "library": params.library},
        total=total,
        library_id=library_id,
        model_id=model.id,
        payload={"against_id": against.id},
        queue=queues.BATCH if total > MOST_AT_ONCE else None,
    )


def _hold_references(session: Session, job: NewJob) -> None:
    hold_library_and_model(session, job)
    hold_model(session, job.payload["against_id"])


def _refuse_retry(_session: Session, _old: Job) -> NewJob:
    raise NothingToRetry("A preview is not retried: submit it again.")


PREVIEW = JobSpec(
    name=JobKind.PREVIEW,
    params=PreviewParams,
    first_unit=PREVIEW_UNIT,
    prepare=prepare_preview,
    retry=_refuse_retry,
    hold_references=_hold_references,
    uses_model=lambda _session, job, model: job.params["against"] == model.reference,
    expires=True,
)
