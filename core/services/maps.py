"""Jobs that draw the map of a library, or of all."""

from dataclasses import replace

from sqlalchemy.orm import Session

from core.config.params import JobKind, MapParams
from core.errors import NothingToDraw, NothingToRetry
from core.jobs.kinds import JobSpec, NewJob, SubmissionContext, UnitSpec
from core.services import queues
from core.services.references import hold_library_and_model
from core.states import JobState
from core.store.libraries import get_library_by_name
from core.store.maps import count_audio
from core.store.registry import resolve_model
from core.store.tables import Job

# A million tracks take minutes, and what is half drawn cannot be gone on with: a killed one starts again.
MAP_UNIT = UnitSpec("map", queues.BATCH, "workers.maps:draw_map", can_be_cut=False, time_limit_s=3600)


def prepare_map(session: Session, params: MapParams, _context: SubmissionContext) -> NewJob:
    """Raises NothingToDraw if nothing is stored of the tracks."""
    model = resolve_model(session, params.model)
    library = None if params.library is None else get_library_by_name(session, params.library)
    library_id = None if library is None else library.id
    total = count_audio(session, model.encoder_id, library_id)
    if not total:
        raise NothingToDraw
    named = params.model_copy(update={"model": model.reference})
    return NewJob(
        JobKind.MAP,
        named.model_dump(mode="json"),
        total=total,
        library_id=library_id,
        model_id=model.id,
    )


def _retry(session: Session, old: Job) -> NewJob:
    """The whole map again, of what is there now."""
    if old.state == JobState.SUCCEEDED:
        raise NothingToRetry("This map is complete. Submit a new job to draw it again.")
    new = prepare_map(session, MapParams.model_validate(old.params), SubmissionContext(old.owner))
    return replace(new, retry_of=old.id)


MAP = JobSpec(
    name=JobKind.MAP,
    params=MapParams,
    first_unit=MAP_UNIT,
    prepare=prepare_map,
    retry=_retry,
    hold_references=hold_library_and_model,
    expires=True,
)
