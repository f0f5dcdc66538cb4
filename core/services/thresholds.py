"""Requests to choose a model's thresholds anew."""

from sqlalchemy.orm import Session

from core.config.params import JobKind, ThresholdParams
from core.errors import InvalidConfig
from core.jobs.jobs import Request, Submission, digest, find_replay, submit_job
from core.jobs.queue import TRIAL
from core.store.registry import artifact_folder, resolve_model

VALIDATION_FILE = "validation_scores.safetensors"  # what a training leaves beside a model


def submit_thresholds(
    session: Session, params: ThresholdParams, owner: str, idempotency_key: str | None = None
) -> Submission:
    """Queue it."""
    content = {"thresholds": params.model_dump(mode="json")}
    request = Request(owner, idempotency_key, digest(JobKind.TUNING, content))
    if (replay := find_replay(session, request)) is not None:
        return replay
    model = resolve_model(session, params.model)
    folder = artifact_folder(model)
    if not (folder / VALIDATION_FILE).is_file():
        raise InvalidConfig(
            f"thresholds.model: {model.name}@{model.version} has left no scores of validation tracks, "
            "as only models trained here do; train it again."
        )
    if model.single_label:
        raise InvalidConfig(
            f"thresholds.model: {model.name}@{model.version} gives a track the one label that scores highest."
        )
    job = {
        "kind": JobKind.TUNING,
        "params": content,
        "model_id": model.id,
        "total": 1,
    }
    return submit_job(session, job, {"kind": "thresholds", "queue": TRIAL}, request)
