"""Jobs that tune the label thresholds of a model."""

from typing import Any

from sqlalchemy.orm import Session

from core.config.params import JobKind, ThresholdParams
from core.errors import InvalidConfig, NothingToRetry
from core.jobs.kinds import JobSpec, NewJob, SubmissionContext, UnitSpec
from core.services import queues
from core.services.references import hold_library_and_model
from core.store.registry import artifact_folder, check_model_name, resolve_model
from core.store.tables import Job

VALIDATION_FILE = "validation_scores.safetensors"  # what a training leaves beside a model

THRESHOLDS_UNIT = UnitSpec("thresholds", queues.TRIAL, "workers.thresholds:tune_thresholds", is_serving=False)


def prepare_thresholds(session: Session, params: ThresholdParams, _context: SubmissionContext) -> NewJob:
    """The new version has the name of the model. Raises InvalidConfig if that is impossible."""
    model = resolve_model(session, params.model)
    check_model_name(model.name)
    if not (artifact_folder(model) / VALIDATION_FILE).is_file():
        raise InvalidConfig(
            f"model: {model.reference} has no scores of validation tracks, on which thresholds are "
            "chosen: only models that are trained here have them."
        )
    if model.single_label:
        raise InvalidConfig(
            f"model: {model.reference} has no thresholds: it gives a track the one label that scores highest."
        )
    return NewJob(JobKind.THRESHOLDS, params.model_dump(mode="json"), total=1, model_id=model.id)


def threshold_identity(params: ThresholdParams) -> dict[str, Any]:
    """As before there was `force`, so that a request is the same as ever without it."""
    return params.model_dump(mode="json", exclude=None if params.force else {"force"})


def _refuse_retry(_session: Session, _old: Job) -> NewJob:
    raise NothingToRetry("Tuning of thresholds is not retried: submit it again.")


THRESHOLDS = JobSpec(
    name=JobKind.THRESHOLDS,
    params=ThresholdParams,
    first_unit=THRESHOLDS_UNIT,
    prepare=prepare_thresholds,
    retry=_refuse_retry,
    identity=threshold_identity,
    hold_references=hold_library_and_model,
)
